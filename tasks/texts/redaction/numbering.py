"""Numbering plans of phones, as libphonenumber has them."""

import re
from functools import cache, lru_cache

# Countries whose people write a number with its trunk prefix, and those where they write it without.
WITH_TRUNK = (
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
)
WITHOUT_TRUNK = ("BR", "CN", "CZ", "DK", "ES", "GR", "HK", "IN", "LU", "MX", "NO", "PL", "PT", "SG", "US")
KINDS = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "uan",
)


@lru_cache(maxsize=4096)
def is_international(digits: str, is_sure: bool = False) -> bool:
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
def is_national(digits: str) -> bool:
    """A valid number of some country, as it is dialled within it."""
    return any(digits.startswith(trunk) and plan.fullmatch(digits, len(trunk)) for trunk, plan in _plans())


@cache
def _plans() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """(digits dialled first within a country, numbers that may follow), from libphonenumber's numbering plans."""
    from phonenumbers import PhoneMetadata

    patterns: dict[str, set[str]] = {}
    for region in {*WITH_TRUNK, *WITHOUT_TRUNK}:
        plan = PhoneMetadata.metadata_for_region(region)
        assert plan is not None, region
        kinds = [getattr(plan, kind) for kind in KINDS]
        numbers = {kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern}
        with_trunk = {plan.national_prefix or ""} if region in WITH_TRUNK else set()
        for trunk in with_trunk | ({""} if region in WITHOUT_TRUNK else set()):
            patterns.setdefault(trunk, set()).update(numbers)
    return tuple(
        (trunk, re.compile("|".join(f"(?:{pattern})" for pattern in sorted(numbers))))
        for trunk, numbers in sorted(patterns.items())
    )
