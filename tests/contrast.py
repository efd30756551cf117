"""Contrast of two colours, as WCAG 2 defines it."""

import re


def channels(colour: str) -> tuple[float, ...]:
    """Red, green and blue from 0 to 1, of ``#rrggbb`` or ``rgb(r, g, b)``."""
    if colour.startswith("#"):
        return tuple(int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return tuple(float(number) / 255 for number in re.findall(r"[\d.]+", colour)[:3])


def luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """From 1, of a colour with itself, to 21, of black with white."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def seen_through(colour: str, opacity: float, background: str) -> str:
    """The colour of something not quite opaque on a background."""
    mixed = (
        255 * (opacity * c + (1 - opacity) * b)
        for c, b in zip(channels(colour), channels(background), strict=True)
    )
    return f"rgb({', '.join(f'{c:.2f}' for c in mixed)})"
