"""Colours of text and marks stand out from the page, in light and in dark, by WCAG's measure."""

import re

import pytest

from fedlab.results.html.templates import style

BLOCKS = dict(zip(("light", "dark"), re.findall(r":root \{(.*?)\}", style.TEXT, re.DOTALL), strict=True))
TEXT = ("ink", "muted", "link", "measured", "published", "scaled", "assumed")
MARKS = (*(f"series-{at}" for at in range(1, 9)), "download", "compute", "upload", "wait", "lost", "focus")


def colours(scheme):
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", BLOCKS[scheme]))


def luminance(colour):
    """Return the relative luminance of a colour, as WCAG 2.2 defines it."""
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_the_measure_is_wcags():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "surface"])
def test_text_has_a_contrast_of_4_5(scheme, ground):
    found = colours(scheme)

    assert {
        name: contrast(found[name], found[ground]) for name in TEXT if contrast(found[name], found[ground]) < 4.5
    } == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_have_a_contrast_of_3(scheme):
    found = colours(scheme)

    assert {
        name: contrast(found[name], found["page"]) for name in MARKS if contrast(found[name], found["page"]) < 3
    } == {}


def test_both_schemes_have_the_same_colours():
    assert colours("light").keys() == colours("dark").keys()
