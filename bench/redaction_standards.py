"""The published standards that the lines of bench/redaction_corpus.py are made from.

Accounts: ISO 13616, national parts as in the SWIFT IBAN registry. Cards: ISO/IEC 7812, ranges and printed groups as the
networks publish them. Phones: E.164 and E.123, and the national plans of the regulators (Bundesnetzagentur, ARCEP,
Ofcom, CNMC, AGCOM, ACM, BIPT, RTR, BAKOM, UKE, ČTÚ, PTS, Energistyrelsen, Nkom, ANACOM, NANPA). Mails: RFC 5321, 6531
and 3986. In a form, N is a digit from 2 to 9, X any digit, A a letter, C a letter or a digit; all else stands for
itself.
"""

BLANKS = ["\u00a0", "\u2007", "\u2009", "\u202f", "\t", "  "]
DASHES = ["-", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2015", "\u2212", "\ufe63", "\uff0d"]
HIDDEN = ["\u200b", "\u2060", "\ufeff", "\u00ad", "\u200e"]

# The national part (BBAN) of each country's IBAN.
BBANS = {
    "DE": "X" * 18,
    "FR": "X" * 10 + "C" * 11 + "XX",
    "GB": "AAAA" + "X" * 14,
    "ES": "X" * 20,
    "IT": "A" + "X" * 10 + "C" * 12,
    "NL": "AAAA" + "X" * 10,
    "BE": "X" * 12,
    "AT": "X" * 16,
    "CH": "X" * 5 + "C" * 12,
    "PL": "X" * 24,
    "CZ": "X" * 20,
    "SE": "X" * 20,
    "DK": "X" * 14,
    "NO": "X" * 11,
    "PT": "X" * 21,
}
# Network: beginnings, length, groups as printed on the card.
NETWORKS = {
    "Visa": (["4"], 16, (4, 4, 4, 4)),
    "Mastercard": (["51", "52", "53", "54", "55", "2221", "2500", "2720"], 16, (4, 4, 4, 4)),
    "American Express": (["34", "37"], 15, (4, 6, 5)),
    "Diners Club": (["36", "38", "300", "305"], 14, (4, 6, 4)),
    "Discover": (["6011", "644", "649", "65"], 16, (4, 4, 4, 4)),
    "JCB": (["3528", "3589"], 16, (4, 4, 4, 4)),
    "UnionPay": (["62"], 16, (4, 4, 4, 4)),
    "UnionPay, 19": (["62"], 19, (4, 4, 4, 4, 3)),
    "Maestro": (["5018", "6304", "6759", "6763"], 16, (4, 4, 4, 4)),
    "Mir": (["2200", "2204"], 16, (4, 4, 4, 4)),
}
# Numbers as each country's people write them.
PHONES = {
    "DE": [
        "030 NXXXXXXX",
        "(089) NXXXXXX",
        "040/NXXXXXX",
        "0151 NXXXXXXX",
        "0171-NXXXXXX",
        "+49 30 NXXXXXXX",
        "+49 (0)89 NXXXXXX",
        "0049 171 NXXXXXX",
        "030 NXXXX-XX",
    ],
    "FR": [
        "01 4X XX XX XX",
        "06 1X XX XX XX",
        "04.7N.XX.XX.XX",
        "07-6X-XX-XX-XX",
        "+33 1 4X XX XX XX",
        "+33 (0)6 1X XX XX XX",
        "0033 6 1X XX XX XX",
    ],
    "GB": [
        "020 7NXX XXXX",
        "(0161) 496 0XXX",
        "0121 NXX XXXX",
        "07911 XXXXXX",
        "+44 20 7NXX XXXX",
        "+44 (0)161 496 0XXX",
        "+44 7911 XXXXXX",
    ],
    "ES": [
        "612 XXX XXX",
        "61X XX XX XX",
        "91 5NX XX XX",
        "932 XX XX XX",
        "+34 612 XXX XXX",
        "+34 91 5NX XX XX",
        "0034 61X XX XX XX",
    ],
    "IT": [
        "06 69XXXXXX",
        "02 72XXXXXX",
        "347 XXXXXXX",
        "348 XXX XXXX",
        "+39 06 69XXXXXX",
        "+39 347 XXX XXXX",
        "+39 02 72XX XXXX",
    ],
    "NL": [
        "06-1NXXXXXX",
        "06 1N XX XX XX",
        "020 6XX XXXX",
        "010-4XXXXXX",
        "+31 6 1NXXXXXX",
        "+31 20 6XX XX XX",
        "+31 (0)10 4XX XX XX",
    ],
    "BE": [
        "0470 NX XX XX",
        "02 5NX XX XX",
        "02/5NX.XX.XX",
        "03 2NX XX XX",
        "+32 470 NX XX XX",
        "+32 2 5NX XX XX",
        "0032 470 NX XX XX",
    ],
    "AT": [
        "0664 NXXXXXX",
        "01 5NXXXXX",
        "0676/NXXXXXX",
        "0316 8NXXXX",
        "+43 664 NXXXXXX",
        "+43 1 5NX XX XX",
        "+43 (0)664 NXX XXXX",
    ],
    "CH": [
        "044 2NX XX XX",
        "079 2NX XX XX",
        "022 7NX XX XX",
        "+41 44 2NX XX XX",
        "+41 79 2NX XX XX",
        "+41 (0)31 3NX XX XX",
        "0041 79 2NX XX XX",
    ],
    "PL": [
        "501 XXX XXX",
        "22 6NX XX XX",
        "601-XXX-XXX",
        "(22) 6NX XX XX",
        "+48 501 XXX XXX",
        "+48 22 6NX XX XX",
        "0048 601 XXX XXX",
    ],
    "CZ": ["601 NXX XXX", "777 XXX XXX", "2NX XXX XXX", "+420 601 NXX XXX", "+420 777 XXX XXX", "00420 601 NXX XXX"],
    "SE": [
        "08-5NX XX XX",
        "070-NXX XX XX",
        "08-50N XXX XX",
        "031-7NX XX XX",
        "+46 8 5NX XX XX",
        "+46 70 NXX XX XX",
        "+46 (0)31 7NX XX XX",
    ],
    "DK": ["20 XX XX XX", "33 1X XX XX", "+45 20 XX XX XX", "+45 33 1X XX XX", "0045 20 XX XX XX", "+45 3311XXXX"],
    "NO": ["912 XX XXX", "22 4X XX XX", "41X XX XXX", "+47 912 XX XXX", "+47 22 4X XX XX", "0047 912 XX XXX"],
    "PT": [
        "912 XXX XXX",
        "21 3NX XX XX",
        "21 3NX XXXX",
        "225 XXX XXX",
        "+351 912 XXX XXX",
        "+351 21 3NX XX XX",
        "00351 96N XXX XXX",
    ],
    "US": [
        "(212) NXX-XXXX",
        "415-NXX-XXXX",
        "617.NXX.XXXX",
        "1-800-NXX-XXXX",
        "+1 212 NXX XXXX",
        "+1 (415) NXX-XXXX",
        "+1-617-NXX-XXXX",
        "312 NXX XXXX",
    ],
}
# Rows of digits that only a word beside them makes a phone.
BARE = {
    "DE": "0151NXXXXXXX",
    "FR": "061XXXXXXX",
    "GB": "07911XXXXXX",
    "ES": "612XXXXXX",
    "IT": "347XXXXXXX",
    "NL": "061NXXXXXX",
    "BE": "0470NXXXXX",
    "AT": "0664NXXXXXX",
    "CH": "0792NXXXXX",
    "PL": "501XXXXXX",
    "CZ": "777XXXXXX",
    "SE": "070NXXXXXX",
    "DK": "20XXXXXX",
    "NO": "912XXXXX",
    "PT": "912XXXXXX",
    "US": "212NXXXXXX",
}
EXTENSIONS = ["", "", "", "", " ext. 12", " x345", ", ext 7"]
MAILS = [
    "{a}@{d}",
    "{a}.{b}@{d}",
    "{a}+shop@{d}",
    "{a}_{b}1@mail.{d}",
    "o'{a}@{d}",
    "{A}@{D}",
    "{a}%40{d}",
    "{a}\uff20{d}",
    "{a}@{h}{d}",
    "{a}{h}.{b}@{d}",
    "{a} (at) {d}",
    "{a}[at]{d}",
    "jörg.{a}@{d}",
    "{a}@bücher.example",
    "{a}&#64;{d}",
    "{a}%2B1%40{d}",
]
DOMAINS = ["example.org", "example.com", "mail.example.co.uk", "sub.example.museum", "exam-ple.net", "example.de"]
NAMES = ["maria", "wei", "sofia", "jan", "amelie", "olu", "kenji", "lucia", "piotr", "ingrid"]
