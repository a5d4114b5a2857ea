"""How phone numbers are written, what surrounds them, and what only looks like one."""

import re

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
NOT_PHONES = (
    r"(?:orders?|invoice|ticket|serial|s/n|tracking|parcel|shipment|reference|ref|isbn|issn|ean|gtin|upc|barcode|imei|sku|model|version|build|booking"
    r"|transaction|zip|vat|batch|key|id|code|pin|commande|facture|pedido|factura|ordine|fattura)(?!\w)|(?:bestell|rechnung|auftrag|vorgang|sendung|zamówieni|faktur"
    r"|objednáv|заказ|счёт|счет)\w*|注文(?:番号)?"
    r"|(?!tele|handy|mobil|fax|ruf|rück|fest|durch|not|service|hotline|kontakt|privat|dienst)[^\W\d_]{3,20}n(?:umme)?r"
)
# Names only where a number of theirs is meant
NUMBERED = "customer|client|account|contract|case|part|item|article|policy|lot|tax|member"
NUMBER = r"(?:numbers?|no|nr|num|nummer|numéro|número|numero|id|code|n°|№|#|номер)"
NAMED = re.compile(
    rf"(?<![^\W_])(?:(?:{NOT_PHONES})[.:#]?[ \-]?|(?:{NUMBERED})[ \-]?(?={NUMBER}))(?:(?:{NUMBER}|is|was)[.:#]? "
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
# What is no phone: one group, or all groups of another number.
GROUP, ROW = re.compile(r"[+(]*\d+"), re.compile(r"[+(]*\d+(?:[ .-]\d+)*")
TRUNK = re.compile(r"(?<!\d)\(?0[1-9]")  # how a number within a country begins
DIGITS = re.compile(r"\d+")
EXPIRY = re.compile(r"(?:0[1-9]|1[0-2]) ?\d\d \d{3,4}(?!\d)")  # and CVC, behind a card
