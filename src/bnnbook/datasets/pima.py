"""Diabetes among 532 Akimel O'odham women (Smith et al. 1988).

Whose data these are: the Akimel O'odham, the River People, whom outsiders named Pima, of the Gila
River near Phoenix, Arizona. From 1965 members of the community took part in a long study of the
United States' National Institutes of Health, in which each was examined about every two years;
these rows are women of Pima heritage, at least 21 years old. High rates of diabetes followed the
loss of the community's river water, and with it of its farming, to upstream diversion. The table
has since been copied around the world without its subjects being asked (Radin 2017). The book uses
it because published model evidences rest on it, says whose it is, and draws no conclusion about the
people from it. Introduced in the chapter "Model evidence".
"""

from bnnbook.datasets.registry import Meaning, load_csv
from bnnbook.datasets.table import Table

MEANINGS = {
    "npreg": Meaning("count", "number of pregnancies"),
    "glu": Meaning("mg/dl", "plasma glucose two hours into an oral glucose tolerance test"),
    "bp": Meaning("mm Hg", "diastolic blood pressure"),
    "skin": Meaning("mm", "thickness of the skin fold over the triceps"),
    "bmi": Meaning("kg/m²", "body mass index"),
    "ped": Meaning("none", "diabetes pedigree function: a score of diabetes among relatives"),
    "age": Meaning("years", "age"),
    "type": Meaning("1 yes, 0 no", "diabetes by the criteria of the WHO", {"Yes": 1.0, "No": 0.0}),
    "split": Meaning(
        "1 test, 0 train", "MASS's split: Pima.tr or Pima.te", {"test": 1.0, "train": 0.0}
    ),
}


def load() -> Table:
    """The 532 women without a missing value.

    Raises:
        DataIntegrityError: where the file is missing or was changed.
    """
    return load_csv(
        "pima.csv",
        "pima",
        MEANINGS,
        "532 Akimel O'odham women, 21 or older, of Pima heritage, living near Phoenix, Arizona",
    )
