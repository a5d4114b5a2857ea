"""Named shifts of a stream of tickets: other words, other languages, another mix."""

import random
from collections.abc import Callable, Iterator
from itertools import cycle, repeat

TYPO = 0.02  # of the letters, in the traffic as it is
# Everyday words in five other languages: sentences of support requests.
FOREIGN = {
    "de": (
        "Guten Tag, mein Paket ist seit zwei Wochen nicht angekommen. Bitte sagen Sie mir, wo es ist. Ich möchte "
        "mein Geld zurück. Die Lampe flackert und die App stürzt ab."
    ),
    "fr": (
        "Bonjour, mon colis n'est pas arrivé depuis deux semaines. Dites-moi où il se trouve. Je voudrais être "
        "remboursé. La lampe clignote et l'application se ferme."
    ),
    "es": (
        "Buenos días, mi paquete no ha llegado en dos semanas. Díganme dónde está. Quiero que me devuelvan el "
        "dinero. La lámpara parpadea y la aplicación se cierra."
    ),
    "nl": (
        "Goedendag, mijn pakket is al twee weken niet aangekomen. Zeg me alstublieft waar het is. Ik wil mijn geld "
        "terug. De lamp flikkert en de app loopt vast."
    ),
    "it": (
        "Buongiorno, il mio pacco non è arrivato da due settimane. Ditemi dove si trova. Vorrei un rimborso. La "
        "lampada lampeggia e l'applicazione si chiude."
    ),
}
PRODUCTS = [
    "Solarwerk",
    "Akkubox",
    "Kilnbot",
    "Verdantia",
    "Hydropod",
    "Smartvane",
    "Thermoclip",
    "Gridlet",
    "Wattshare",
    "Ampere",
    "dongle",
    "inverter",
    "feed-in",
    "tariff",
    "kilowatt",
    "heat-pump",
    "compressor",
    "firmware-vx",
]


def typos(text: str, share: float, dice: random.Random) -> str:
    """`text` with a `share` of its letters exchanged, doubled or left out."""
    letters = []
    for letter in text:
        if letter.isalpha() and dice.random() < share:
            letter = dice.choice(["", letter * 2, dice.choice("etaoinshrdlu")])
        letters.append(letter)
    return "".join(letters)


def shifts(rows: list[dict], dice: random.Random) -> dict[str, Iterator[dict]]:
    """What is asked after each named shift, on and on; no ticket twice before all have been asked. `rows` have their
    usual typos, and `clean` texts.
    """
    names = sorted({row["category"] for row in rows}, key=lambda name: -sum(row["category"] == name for row in rows))
    category = dice.choice(names[:4])
    favoured = [row for row in rows if row["category"] == category]

    def words(row: dict) -> str:
        return " ".join(
            dice.choice(PRODUCTS) if len(word) > 4 and dice.random() < 0.15 else word for word in row["text"].split(" ")
        )

    def foreign(row: dict) -> str:
        sentences = FOREIGN[dice.choice(sorted(FOREIGN))].split(". ")
        return ". ".join(dice.sample(sentences, 2)) if dice.random() < 0.3 else row["text"]

    def changed(change: Callable[[dict], str]) -> Iterator[dict]:
        return (row | {"text": change(row)} for row in dealt(rows, dice))

    usual, mixed = dealt(rows, dice), dealt(favoured, dice)
    return {
        "none": dealt(rows, dice),
        "new category mix (half in one more)": (next(mixed if dice.random() < 0.5 else usual) for _ in repeat(None)),
        "new vocabulary (15 % of longer words)": changed(words),
        "typos ×5 (2 % to 10 % of letters)": changed(lambda row: typos(row["clean"], 5 * TYPO, dice)),
        "length ×2": changed(lambda row: f"{row['text']} {dice.choice(rows)['text']}"),
        "language (30 % in five others)": changed(foreign),
    }


def dealt(rows: list[dict], dice: random.Random) -> Iterator[dict]:
    """`rows` in a random order, again and again."""
    return cycle(dice.sample(rows, len(rows)))
