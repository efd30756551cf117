"""Progression of diabetes in 442 patients, and ten measurements at the start (Efron et al. 2004).

Small, noisy and nearly linear: the data on which a network should not beat a straight line by much,
and on which it is instructive to watch it try. Introduced in the chapter "Approximate posteriors,
scored".
"""

from bnnbook.datasets.registry import as_table, verified_values
from bnnbook.datasets.table import Column, Table

MEANINGS = {
    "age": ("years", "age"),
    "sex": ("1 or 2", "sex; the source does not say which is which"),
    "bmi": ("kg/m²", "body mass index"),
    "bp": ("mm Hg", "mean blood pressure"),
    "s1": ("mg/dl", "total serum cholesterol"),
    "s2": ("mg/dl", "low-density lipoproteins"),
    "s3": ("mg/dl", "high-density lipoproteins"),
    "s4": ("ratio", "total cholesterol over high-density lipoproteins"),
    "s5": ("log mg/dl", "logarithm of the serum triglycerides (possibly)"),
    "s6": ("mg/dl", "blood sugar"),
    "progression": ("score", "disease progression one year after the measurements"),
}


def load() -> Table:
    """The 442 patients, in their original units (not scaled).

    Raises:
        DataIntegrityError: where scikit-learn's copy is not the one registered here.
    """
    import numpy as np
    from sklearn.datasets import load_diabetes

    inputs, progression = load_diabetes(return_X_y=True, scaled=False)
    values = verified_values("diabetes", np.column_stack([inputs, progression]))
    columns = {
        name: Column(values[:, i], unit, description)
        for i, (name, (unit, description)) in enumerate(MEANINGS.items())
    }
    return as_table("diabetes", "diabetes", columns, "442 patients with diabetes")
