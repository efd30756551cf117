"""The colours of every figure, each with its partner for dark pages.

Figures are drawn once, in the light colours. The site writes a second file of every figure in
which each light colour is replaced by its partner, so a figure may use no other colour (a test of
the built site checks it). The pairs are chosen for a contrast of at least 4.5 to 1 against the
page, light (white) and dark (#121212), and to stay apart for readers with colour-vision deficiency;
still, a figure never tells things apart by colour alone.
"""

BACKGROUND = "#ffffff"
TEXT = "#1f2328"
MUTED = "#59636e"
GRID = "#d1d9e0"
DATA = "#3d444d"
PRIMARY = "#0b62c4"
SECONDARY = "#a4480a"
TERTIARY = "#1a7340"
QUATERNARY = "#8250a8"
TRUTH = "#1f2329"
WRONG = "#c4213a"

#: Each light colour and what stands in its place on a dark page.
DARK = {
    BACKGROUND: "#121212",
    TEXT: "#e6e9ed",
    MUTED: "#a3acb6",
    GRID: "#3a4048",
    DATA: "#c3cad2",
    PRIMARY: "#6cb0ff",
    SECONDARY: "#f2a25c",
    TERTIARY: "#5fcf8a",
    QUATERNARY: "#cf9df5",
    TRUTH: "#f4f6f8",
    WRONG: "#ff8795",
}

#: The order in which lines of one figure take their colours.
CYCLE = (PRIMARY, SECONDARY, TERTIARY, QUATERNARY, WRONG, MUTED)

#: What the id of a raster image begins with that is a picture and looks the same on a dark page.
PICTURE = "picture-"
