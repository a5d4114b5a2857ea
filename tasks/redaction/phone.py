"""Finds phone numbers: candidates by the way they are written, judged by libphonenumber's numbering plans."""

import re
from collections.abc import Iterator
from functools import cache, lru_cache

from tasks.redaction.plain import Span

TAIL = r"(?:[ ().\-/]{0,4}\d){5,17}"
# A number begins where no other number, word or decimal goes on.
HEAD = r"(?<![\w#&+])(?<!\d[.,:-])(?:(?<!\d/)|(?=\(?0[1-9]\d\d|\(?0[1-9]\d? ))(?<![A-Za-z]-)(?<![\d)] -)"
CANDIDATE = re.compile(
    rf"(?<!\+)(?:(?<!UTC)(?<!GMT)\(?\+ ?\(?|{HEAD}\(?00[ -]?)[1-9]{TAIL}"  # with the code of a country
    rf"|{HEAD}(?:\(?0[1-9]|\(\d{{2,4}}\)|8[ -]?\(?\d{{3}}\)?[ -]\d{{3}}[ -]\d\d[ -]\d\d(?!\d)|\(0\) ?[1-9]|[1-9]){TAIL}"
)
# Groups that are hardly anything but a phone; any other number without a leading 0 needs a word that says so.
GROUPS = re.compile(
    r"(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}|\d{3}([ .-])\d{2}\1\d{2}\1\d{2}|\d{2}( )\d{2} \d{2} "
    r"\d{2}|\d{3}([ -])\d{3}\3\d{3}"
    r"|\(\d{2,4}\) ?\d{3,5}[ -]\d{4}"
    r"|(?:\d{2} 9\d{4}|(?:21|33|55|56|81) \d{4})[ -]\d{4}|\d{2} \d{4}-\d{4}|1\d{2}([ -])\d{4}\4\d{4}|[6-9]\d{4} "
    r"\d{5}|[49]\d{2} \d{2} \d{3}|\d{3} \d{3} \d{2} \d{2}"
    r"|8[ -]?\(?\d{3}\)?[ -]\d{3}[ -]\d{2}[ -]\d{2}|\d{2} \d{3} (?:\d{2} \d{2}|\d{4})|\(\d{2,3}\) ?\d{3}[ -]\d{2}[ "
    r"-]\d{2}|3\d{2} \d{6,7}"
)
NORTH_AMERICA = re.compile(r"(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}")
RUSSIA = re.compile(r"8[ -]?\(\d{3}\) ?\d{3}[ -]\d{2}[ -]\d{2}")
DATE = re.compile(
    r"(?:0?[1-9]|[12]\d|3[01])([./ -])(?:0?[1-9]|1[0-2])\1(?:19|20)\d\d(?!\d)|(?:19|20)\d\d([./ "
    r"-])(?:0?[1-9]|1[0-2])\2(?:0?[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?:0[1-9]|[12]\d|3[01])[./](?:0[1-9]|1[0-2])[./]\d\d(?![\d./])|(?:0[1-9]|1[0-2]) ?/ ?(?:20)?\d\d(?![\d/])"
)
COUNTRY = re.compile(r"\([1-9]\d{0,2}\)")  # its code, in place of a +
PAIRS = re.compile(r"\d\d(?: \d\d)+")
PAIRS_OF_TEN = re.compile(r"0[1-9](?: \d\d){4}(?![ -]?\d)")
DECIMAL = re.compile(r"[1-9]\d*[.,]\d+")
SERIAL = re.compile(r"\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?!\d)")
HOURS = re.compile(r"(?:[01]\d|2[0-3])[0-5]\d ?- ?(?:[01]\d|2[0-4])[0-5]\d(?!\d)")
AFTER = re.compile(
    r":\d|/(?!\(?0[1-9]\d)\d|[.,]\d|(?=\w)(?![^\W\d_]{3})| ?[%€$£¥]| ?(?:EUR|USD|GBP|CHF|PLN|CZK|Kč|zł|kr)\b"
)  # what a phone is not followed by
BESIDE, BESIDE_BEFORE = re.compile(r"[ -]{1,2}\d"), re.compile(r"\d[ -]{1,2}\Z")
EXTENSION = re.compile(
    r"(?:;ext=| ?[,;]? "
    r"?(?:ext(?:ension|n)?|x|poste|interno|int|anexo|ramal|durchwahl|dw|toestel|wew|доб)(?![a-z])[.:]? "
    r"?|#)\d{1,6}(?!\w)|-\d{1,4}(?![\w-]|[.,:/]\d)",
    re.IGNORECASE,
)
# Words by which a row of digits is named something else than a phone, right before it …
THINGS = (
    r"(?:orders?|invoice|ticket|serial|s/n|tracking|parcel|shipment|reference|ref|isbn|issn|ean|gtin|upc|barcode|imei|sku|model|version|build|booking"
    r"|transaction|zip|vat|batch|key|id|code|pin|commande|facture|pedido|factura|ordine|fattura)(?!\w)|(?:bestell|rechnung|auftrag|vorgang|sendung|zamówieni|faktur"
    r"|objednáv|заказ|счёт|счет)\w*|注文(?:番号)?"
    r"|(?!tele|handy|mobil|fax|ruf|rück|fest|durch|not|service|hotline|kontakt|privat|dienst)[^\W\d_]{3,20}n(?:umme)?r"
)
# things only where a number of theirs is meant
NUMBERED = "customer|client|account|contract|case|part|item|article|policy|lot|tax|member"
NUMBER = r"(?:numbers?|no|nr|num|nummer|numéro|número|numero|id|code|n°|№|#|номер)"
NAMED = re.compile(
    rf"(?<![^\W_])(?:(?:{THINGS})[.:#]?[ \-]?|(?:{NUMBERED})[ \-]?(?={NUMBER}))(?:(?:{NUMBER}|is|was)[.:#]? "
    rf"?){{0,3}}[ (\"']?\Z",
    re.IGNORECASE,
)
# … and by which it is named a phone, somewhere before it.
CALLS = (
    "tel|phone|call|ring|dial|mobile|mobil|cell|fax|whatsapp|sms|text me|reach "
    "me|contact|hotline|landline|handy|anruf|ruf|rückruf|festnetz"
    "|portable|appel|télé|móvil|movil|llam|chiam|bel|gsm|lig[au]|puhelin|soit|tlf|komórk|komork|zadzwo|zavol|volej|τηλ|тел|звон|моб"
)
NAMES = (
    r"(?:tele)?(?:phone|fon|foon|téléphone|teléfono|fono)\w*|tel|tél|tlf|fax|mobile?|cell|whatsapp|handy|gsm|call"
    r"|тел\w*|電話|电话|手机|전화"
)
NAMED_PHONE = re.compile(
    rf"(?<!\w)(?:{NAMES})[.:=]{{0,2}} ?(?:(?:no|nr|number)[.:]? ?)?[ (\"']?\Z", re.IGNORECASE
)  # right before it
MY_NUMBER = r"(?:my|meine|mi|mon|mio|mijn|min|mój|moje) (?:number|nummer|número|numero|numéro|numer)"
CALLED = re.compile(
    rf"\b(?:{CALLS}|{MY_NUMBER})|電話|联系|致电|拨打|携帯|电话|手机|전화|핸드폰|फ़ोन|फोन|هاتف|โทร", re.IGNORECASE
)
NEAR = 40  # characters before a number in which a word may say what it is
GROUP, ROW = (
    re.compile(r"[+(]*\d+"),
    re.compile(r"[+(]*\d+(?:[ .-]\d+)*"),
)  # what is no phone: one group, or all of a thing's number
TRUNK = re.compile(r"(?<!\d)\(?0[1-9]")  # how a number within a country begins
DIGITS = re.compile(r"\d+")
EXPIRY = re.compile(r"(?:0[1-9]|1[0-2]) ?\d\d \d{3,4}(?!\d)")  # and CVC, behind a card
LEAST, LEAST_BARE = 7, 9  # digits; in one row, with nothing but a leading 0 to say that it is a phone
MOST = 2000  # candidates judged in one text; the others are taken out unjudged
WITH_TRUNK = (
    *(
        "AR",
        "AT",
        "AU",
        "BE",
        "BG",
        "BR",
        "CH",
        "CN",
        "DE",
        "EG",
        "FI",
        "FR",
        "GB",
        "HR",
        "HU",
        "ID",
        "IE",
        "IL",
        "IN",
        "IT",
        "JP",
        "KE",
    ),
    *(
        "KR",
        "MA",
        "MY",
        "NG",
        "NL",
        "NZ",
        "PH",
        "PK",
        "RO",
        "RS",
        "RU",
        "SE",
        "SI",
        "SK",
        "TH",
        "TR",
        "TW",
        "UA",
        "VN",
        "ZA",
    ),
)
WITHOUT_TRUNK = ("BR", "CN", "CZ", "DK", "ES", "GR", "HK", "IN", "LU", "MX", "NO", "PL", "PT", "SG", "US")


def phones(text: str) -> Iterator[Span]:
    """Where phone numbers stand in a plain text, extensions included."""
    place = judged = done = 0
    while match := CANDIDATE.search(text, place):
        judged += 1
        start = match.start()
        before = text[max(0, start - NEAR) : start]
        before = before[max(map(before.rfind, "<>\n")) + 1 :]
        if judged <= MOST and (other := _other(text, start, before)):
            place = other
        elif end := match.end() if judged > MOST else _end(text, match, before, done):
            extension = EXTENSION.match(text, end)
            place = done = extension.end() if extension else end
            yield start + (text[start] == "(" and ")" not in text[start:end]), place
        else:
            group = GROUP.match(text, start)
            place = group.end() if group else match.end()


def _other(text: str, start: int, before: str) -> int | None:
    """Where what begins at `start` ends when it is a date, hours of opening, a key in four groups of four, or named
    something else than a phone.
    """
    if text[start] != "+" and NAMED.search(before):
        match = ROW.match(text, start)
    else:
        is_behind = text[max(0, start - 2) : start] == "> "
        match = (
            (is_behind and EXPIRY.match(text, start))
            or DATE.match(text, start)
            or HOURS.match(text, start)
            or SERIAL.match(text, start)
        )
    return match.end() if match else None


def _end(text: str, match: re.Match[str], before: str, done: int) -> int | None:
    """Where the number that begins with `match` ends: the longest row of its groups that is one; None when none is.

    What stands before `done` is a phone already, so nothing that this number could go on from.
    """
    start = match.start()
    is_called = bool(CALLED.search(before))
    ends = []
    last = _next_number(text, match) or match.end()
    for end in reversed([group.end() for group in DIGITS.finditer(text, start, last)]):
        part = text[start:end]
        if sum(map(str.isdigit, part)) < LEAST:
            break
        if EXTENSION.match(text, end) or not AFTER.match(text, end):
            beside = BESIDE.match(text, end)
            is_apart = not BESIDE_BEFORE.search(text, max(done, start - 3), start) and (
                not beside or _begins(text, beside.end() - 1)
            )
            if is_phone(part, is_called, is_apart):
                return end
            ends += [end] if not DECIMAL.fullmatch(part) else []
    return (
        ends[0] if ends and NAMED_PHONE.search(before) else None
    )  # in no plan that we know, but a person calls it a phone


def _begins(text: str, place: int) -> bool:
    """A number in a phone's groups begins here."""
    return bool(PAIRS_OF_TEN.match(text, place) or GROUPS.match(text, place))


def _next_number(text: str, match: re.Match[str]) -> int | None:
    """Where the row of groups goes on with a number of its own: `030 2345678/030 2345679` are two."""
    start = match.start()
    for head in TRUNK.finditer(text, start + LEAST, match.end()):
        before = text[start : head.start()].rstrip(" ()./-")
        if is_phone(before) and (following := CANDIDATE.match(text, head.start())):
            ends = [group.end() for group in DIGITS.finditer(text, head.start(), following.end())]
            if any(is_phone(text[head.start() : end]) for end in ends):
                return head.start()
    return None


def is_phone(text: str, is_called: bool = False, is_apart: bool = True) -> bool:
    """A possible number of any country after a +; after a leading 0 a valid number of some country, and likewise in
    groups that are a phone's and stand apart from other numbers, or called a phone.
    """
    digits = re.sub(r"\D", "", text)
    if not LEAST <= len(digits) <= 17:
        return False
    if "+" in text[:2] or digits.startswith("00"):
        return _is_international(digits.removeprefix("00") if digits.startswith("00") else digits)
    if text.lstrip("(")[0] == "0":
        is_likely = is_called or (
            is_apart and len(digits) == 10 if PAIRS.fullmatch(text) else text != digits or len(digits) >= LEAST_BARE
        )
        return is_likely and _is_national(digits)
    text = re.sub(" +", " ", text)
    if (
        NORTH_AMERICA.fullmatch(text)
        or RUSSIA.fullmatch(text)
        or ((is_called or COUNTRY.match(text)) and _is_international(digits, is_sure=True))
    ):
        return True
    return bool((is_called and not DECIMAL.fullmatch(text)) or (is_apart and GROUPS.fullmatch(text))) and _is_national(
        digits
    )


@lru_cache(maxsize=4096)
def _is_international(digits: str, is_sure: bool = False) -> bool:
    """A valid number behind the code of a country; unless it must be sure, a possible one will do."""
    import phonenumbers

    for plain in (digits, re.sub(r"\A(\d{1,3}?)0", r"\1", digits)):  # +49 (0) 30 …
        try:
            number = phonenumbers.parse(f"+{plain}")
        except phonenumbers.NumberParseException:
            continue
        reason = phonenumbers.is_possible_number_with_reason(number)
        if phonenumbers.is_valid_number(number) or (
            not is_sure and len(plain) > 8 and reason == phonenumbers.ValidationResult.IS_POSSIBLE
        ):
            return True
    return False


@lru_cache(maxsize=4096)
def _is_national(digits: str) -> bool:
    return any(digits.startswith(trunk) and plan.fullmatch(digits, len(trunk)) for trunk, plan in _plans())


@cache
def _plans() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """(digits dialled first within a country, numbers that may follow), from libphonenumber's numbering plans."""
    from phonenumbers import PhoneMetadata

    patterns: dict[str, set[str]] = {}
    for region in {*WITH_TRUNK, *WITHOUT_TRUNK}:
        plan = PhoneMetadata.metadata_for_region(region)
        assert plan is not None, region
        kinds = (
            plan.fixed_line,
            plan.mobile,
            plan.toll_free,
            plan.premium_rate,
            plan.shared_cost,
            plan.personal_number,
            plan.voip,
            plan.uan,
        )
        numbers = {kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern}
        for trunk in ({plan.national_prefix or ""} if region in WITH_TRUNK else set()) | (
            {""} if region in WITHOUT_TRUNK else set()
        ):
            patterns.setdefault(trunk, set()).update(numbers)
    return tuple(
        (trunk, re.compile("|".join(f"(?:{pattern})" for pattern in sorted(numbers))))
        for trunk, numbers in sorted(patterns.items())
    )
