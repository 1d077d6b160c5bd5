"""Sample papers: a picture that looks like an identity card and says that it is none, and a term sheet."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

_CARD = (1000, 630)


def sample_identity_card(*, name: str, birth_date: str, side: str = "front") -> bytes:
    """A JPEG of an invented card. `name` in Latin letters: the built-in font has no others."""
    image = Image.new("RGB", _CARD, "#eef3fb")
    draw = ImageDraw.Draw(image)
    large, small = ImageFont.load_default(54), ImageFont.load_default(34)
    draw.rounded_rectangle((20, 20, _CARD[0] - 20, _CARD[1] - 20), radius=36, outline="#264af4", width=6)
    draw.text((60, 60), f"SAMPLE CARD ({side})", font=large, fill="#00118f")
    draw.rectangle((60, 170, 300, 480), fill="#c5d7fb", outline="#264af4", width=3)
    draw.ellipse((130, 210, 230, 320), fill="#7096f8")
    draw.pieslice((90, 330, 270, 560), 180, 360, fill="#7096f8")
    for line, text in enumerate((name, f"Born {birth_date}", "1-1 Musubi, Chiyoda-ku, Tokyo")):
        draw.text((350, 190 + 80 * line), text, font=small, fill="#1a1a1c")
    draw.text((60, 530), "Invented for a demonstration. No identity document.", font=small, fill="#ce0000")
    return _encoded(image, "JPEG")


def sample_terms_sheet(title: str) -> bytes:
    """A one-page PDF of a bond's terms."""
    image = Image.new("RGB", (1240, 1754), "white")
    draw = ImageDraw.Draw(image)
    large, small = ImageFont.load_default(64), ImageFont.load_default(36)
    draw.text((120, 140), "Terms of the bond (sample)", font=large, fill="black")
    lines = (
        "Total: JPY 1,000,000,000",
        "Denomination: JPY 100,000",
        "Interest: 0.8 % a year, paid half-yearly",
        "Term: one year from the issue date",
        "Transfer: to verified and admitted investors only",
        "Invented for a demonstration; no offer.",
    )
    for number, text in enumerate(lines):
        draw.text((120, 320 + 90 * number), text, font=small, fill="black")
    return _encoded(image, "PDF", title=title)


def _encoded(image: Image.Image, kind: str, **options: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
