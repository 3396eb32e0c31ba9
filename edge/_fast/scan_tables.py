"""What the scanner knows of the world, as data: card issuers, IBANs, calling codes, and words before numbers."""

from __future__ import annotations

__all__ = [
    "ALNUM",
    "CARD",
    "CARDS",
    "CLASSES",
    "CODE",
    "CODES",
    "DIGIT",
    "EMAIL",
    "FILE_ENDINGS",
    "HEX",
    "HOST_ENDINGS",
    "IBAN",
    "IBANS",
    "IP",
    "JSON",
    "LETTER",
    "LOCAL",
    "NO_CARD_WORD",
    "NO_PHONE_WORD",
    "PEM",
    "PHONE",
    "PHONE_WORD",
    "PLAIN",
    "PREFIXES",
    "SECRET",
    "SIDE_WORD",
    "SSN",
    "SSN_WORD",
    "TOKEN",
    "VALUE",
    "VERSION_WORD",
    "WORDS",
]

EMAIL, PHONE, SSN, CARD, IBAN, IP, SECRET = range(7)
"""Kinds. The compiled build has these numbers, the classes and the meanings of words from _scan_text_c.pxd."""

DIGIT, LETTER, HEX, LOCAL, TOKEN, VALUE, PEM = 1, 2, 4, 8, 16, 32, 64
ALNUM = DIGIT | LETTER

PLAIN, JSON, CODE = range(3)
"""How backslashes are read: as any byte; as those of JSON, each with the byte after it; as those of text that may be
code, or JSON: with the letter after it where that may be an escape's.
"""


def _classes() -> bytes:
    letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    digits = b"0123456789"
    table = bytearray(256)
    for bit, members in (
        (DIGIT, digits),
        (LETTER, letters),
        (HEX, digits + b"abcdefABCDEF"),
        (LOCAL, letters + digits + b"!#$%&'*+/=?^_`{|}~.-"),  # RFC 5322, section 3.2.3: dot-atom
        (TOKEN, letters + digits + b"_-"),
        (VALUE, letters + digits + b"-._~+/="),  # RFC 6750, section 2.1: b64token
        (PEM, letters + digits + b"+/=:,-\r\n\t"),
    ):
        for member in members:
            table[member] |= bit
    return bytes(table)


CLASSES = _classes()
"""For each byte, the classes it is in."""

CARDS = (
    (4000, 4999, (13, 16, 19)),  # Visa
    (5100, 5599, (16,)),  # Mastercard
    (2221, 2720, (16,)),
    (3400, 3499, (15,)),  # American Express
    (3700, 3799, (15,)),
    (3000, 3059, (14, 16)),  # Diners Club
    (3095, 3095, (14, 16)),
    (3600, 3699, (14, 16)),
    (3800, 3999, (14, 16)),
    (6011, 6011, (16, 17, 18, 19)),  # Discover
    (6440, 6599, (16, 17, 18, 19)),
    (6200, 6299, (16, 17, 18, 19)),  # UnionPay
    (3500, 3599, (16,)),  # JCB
    (3528, 3589, (17, 18, 19)),
    (2131, 2131, (15,)),
    (1800, 1800, (15,)),
    (5000, 5099, (16, 18, 19)),  # Dankort, Verve, Elo, RuPay, Maestro
    (5018, 5018, (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (5020, 5020, (12, 13, 14, 15, 16, 17, 18, 19)),
    (5038, 5038, (12, 13, 14, 15, 16, 17, 18, 19)),
    (5600, 5899, (12, 13, 14, 15, 16, 17, 18, 19)),
    (6304, 6304, (12, 13, 14, 15, 16, 17, 18, 19)),
    (6390, 6390, (12, 13, 14, 15, 16, 17, 18, 19)),
    (6700, 6799, (12, 13, 14, 15, 16, 17, 18, 19)),
    (604, 604, (12, 13, 14, 15, 16, 17, 18, 19)),
    (5900, 6999, (16,)),  # RuPay, Hipercard, Elo, InstaPayment, banks of Iran, Maestro's old ranges
    (2200, 2205, (16, 17, 18, 19)),  # Mir
    (8100, 8199, (16, 17, 18, 19)),  # UnionPay
    (8600, 8600, (16,)),  # Uzcard
    (9000, 9999, (16,)),  # what national bodies assign: Troy, Humo, Napas, Prostir
    (1000, 1999, (15,)),  # UATP
)
"""First four digits, from and to, and how long such numbers are: ISO/IEC 7812 ranges as the issuers publish them."""

_IBANS = """
AD24 AE23n AL28 AT20n AZ28 BA20n BE16n BG22 BH22 BI27n BR29 BY28 CH21 CR22n CY28 CZ24n DE22n DJ27n DK18n DO28 EE20n
EG29n ES24n FI18n FK18 FO18n FR27 GB22 GE22 GI23 GL18n GR27 GT28 HN28 HR21n HU28n IE22 IL23n IQ23 IS26n IT27 JO30 KW30
KZ20 LB28 LC32 LI21 LT20n LU20 LV21 LY25n MC27 MD24 ME22n MK19 MN20n MR27n MT31 MU30 NI28 NL18 NO15n OM23 PK24 PL28n
PS29 PT25n QA29 RO24 RS22n RU33 SA24 SC31 SD18n SE24n SI19n SK24n SM27 SO23n ST25n SV28 TL23n TN24n TR26 UA29 VA22n
VG24 XK20n YE30 AO25n BF28 BJ28 CF27n CG27n CI28 CM27n CV25n DZ26n GA27n GQ27n GW25 IR26n KM27n MA28n MG27n ML28
MZ25n NE28 SN28 TD27n TG28
"""
IBANS: dict[bytes, int] = {}
"""Length by country, negative where what follows the country's letters is digits alone: SWIFT's IBAN registry, and
after YE those countries whose banks use IBANs without being in it."""
for _entry in _IBANS.split():
    _length = int(_entry[2:].rstrip("n"))
    IBANS[_entry[:2].encode()] = -_length if _entry.endswith("n") else _length

_CODES = """
1:10-10 7:10-10 20:8-10 27:5-10 30:10-12 31:5-11 32:8-9 33:9-9 34:9-9 36:8-9 39:6-12 40:6-9 41:9-9 43:4-13 44:7-10
45:8-8 46:6-10 47:5-8 48:7-10 49:5-13 51:8-9 52:10-11 53:6-10 54:10-11 55:8-11 56:9-11 57:8-11 58:10-10 60:8-10 61:6-12
62:7-13 63:6-13 64:5-10 65:8-11 66:8-13 81:8-13 82:5-13 84:7-10 86:7-12 90:7-13 91:8-13 92:8-12 93:9-9 94:9-9 95:6-10
98:4-10 211:9-9 212:9-9 213:8-9 216:8-8 218:9-9 220:7-9 221:9-9 222:8-8 223:8-8 224:8-9 225:10-10 226:8-8 227:8-8
228:8-8 229:8-10 230:7-10 231:7-9 232:8-8 233:8-9 234:10-12 235:8-8 236:8-8 237:8-9 238:7-7 239:7-7 240:9-9 241:7-8
242:9-9 243:7-10 244:9-9 245:7-9 246:7-7 247:5-6 248:7-7 249:9-9 250:8-9 251:9-9 252:6-9 253:8-8 254:7-10 255:9-9
256:9-9 257:8-8 258:8-9 260:9-9 261:9-9 262:9-9 263:7-10 264:8-9 265:7-9 266:8-8 267:7-10 268:8-9 269:7-7 290:4-5
291:7-7 297:7-7 298:6-6 299:6-6 350:8-8 351:9-9 352:4-11 353:7-10 354:7-9 355:6-9 356:8-8 357:8-8 358:5-12 359:6-12
370:8-8 371:8-8 372:7-10 373:8-8 374:8-8 375:6-11 376:6-9 377:8-9 378:8-10 380:9-10 381:6-12 382:8-9 383:8-12 385:7-9
386:5-8 387:8-9 389:8-8 420:9-9 421:6-9 423:7-9 500:5-5 501:7-11 502:8-11 503:7-11 504:8-11 505:8-8 506:8-10 507:7-11
508:6-9 509:8-8 590:9-9 591:8-9 592:7-7 593:8-11 594:9-9 595:6-11 596:9-9 597:6-7 598:4-13 599:7-8 670:7-8 672:6-6
673:7-7 674:7-7 675:7-8 676:5-7 677:5-7 678:5-7 679:7-11 680:7-7 681:6-9 682:5-5 683:4-7 685:5-10 686:5-8 687:6-6
688:5-7 689:6-9 690:4-7 691:7-7 692:7-7 800:8-8 808:8-8 850:8-10 852:5-11 853:7-8 855:8-10 856:8-10 870:9-12 878:12-12
880:6-10 881:9-10 882:7-12 883:8-12 886:7-11 888:11-11 960:7-10 961:7-8 962:8-9 963:8-9 964:8-10 965:7-8 966:9-10
967:7-9 968:7-9 970:8-10 971:5-12 972:7-12 973:8-8 974:7-11 975:7-8 976:8-10 977:8-11 979:9-9 992:9-9 993:8-8 994:9-9
995:9-9 996:9-10 998:9-9
"""


def _calling_codes() -> bytes:
    """For each number below 1000, two bytes: how few and how many digits follow that country's calling code (ITU-T
    E.164), 0 and 0 where it is none. The lengths are those libphonenumber's metadata hold.
    """
    table = bytearray(2000)
    for entry in _CODES.split():
        code, _, lengths = entry.partition(":")
        least, _, most = lengths.partition("-")
        table[2 * int(code) : 2 * int(code) + 2] = bytes([int(least), int(most)])
    return bytes(table)


CODES = _calling_codes()
PHONE_WORD, NO_PHONE_WORD, SSN_WORD, VERSION_WORD, SIDE_WORD, NO_CARD_WORD = 1, 2, 4, 8, 16, 32
_PHONE_WORDS = """
phone phones telephone telephones telefon telefono teléfono téléphone telefone tel mobile mobil móvil movil cell
cellphone cellular call calls called calling caller dial dialed fax sms text texted texting message messages messaging
whatsapp contact contacting reach reached ring answer answering hotline helpline landline pager voicemail handy
rufnummer anruf anrufen cellulare portable appelez appeler llame llamar chiama chiamare bellen telefoon celular gsm
msisdn тел телефон τηλ switchboard callback phonenumber telno hp 电话 電話 手机 手機 联系 전화
"""
_NO_PHONE_WORDS = """
order orders invoice ticket id ids uuid ref reference serial account acct isbn issn ean upc gtin sku tracking version
zip date epoch timestamp ts imei case policy passport license licence card iban ssn port pid amount total price cost
sum count size bytes offset lat lng lon latitude longitude coordinates build revision rev commit hash sha checksum time
duration ms seconds balance usd eur
"""
_NO_CARD_WORDS = """
order orders invoice tracking ticket case ref reference id ids ean isbn issn upc gtin sku imei epoch timestamp ts span
trace
"""
_VERSION_WORDS = """
version ver release build rev revision v firmware driver sdk upgrade upgraded downgrade section chapter clause oid
"""
WORDS: dict[bytes, int] = {}
"""What the word nearest before a bare number says of it; a SIDE_WORD, what it says when it follows."""
for _words, _meaning in (
    (_PHONE_WORDS, PHONE_WORD),
    (_NO_PHONE_WORDS, NO_PHONE_WORD),
    (_VERSION_WORDS, VERSION_WORD),
    ("office desk work home", SIDE_WORD),
    (_NO_CARD_WORDS, NO_CARD_WORD),
    ("ssn ssns social sociale ss", SSN_WORD),
):
    for _word in _words.split():
        WORDS[_word.encode()] = WORDS.get(_word.encode(), 0) | _meaning

FILE_ENDINGS = frozenset(
    b"png jpg jpeg gif svg webp ico pdf js mjs cjs tsx jsx css scss html htm json xml yaml yml txt csv tgz tar whl "
    b"jar exe dll dylib lock log map bak tmp conf cfg ini patch diff".split()
)
"""What follows the last dot of ``icon@2x.png`` and ``vue@3.4.min.js``: no top-level domain (IANA's root zone)."""

HOST_ENDINGS = frozenset(
    b"com org net edu gov mil info biz eu de uk fr it es nl ch at be se no dk fi pl cz pt ie ru ua cn jp kr in br au "
    b"nz ca us mx ar za".split()
)
"""What stands before it in ``jane@example.org.pdf``, where it is one of these: the larger of IANA's domains."""

PREFIXES: dict[int, list[tuple[bytes, int, int, bool]]] = {}
"""Secrets by the last two bytes of what they begin with: that prefix, how many bytes follow at least, of which class,
and whether they need a digit or both cases (class names and slugs have neither). From the vendors' pages on key formats
and GitHub's list of supported secret scanning patterns."""
for _prefix, _least, _bits, _mixed in (
    (b"sk-", 16, TOKEN, True),
    (b"sk-ant-", 16, TOKEN, False),
    (b"sk_live_", 10, ALNUM, False),
    (b"sk_test_", 10, ALNUM, False),
    (b"rk_live_", 10, ALNUM, False),
    (b"rk_test_", 10, ALNUM, False),
    (b"whsec_", 16, ALNUM, False),
    (b"ghp_", 20, ALNUM, False),
    (b"gho_", 20, ALNUM, False),
    (b"ghu_", 20, ALNUM, False),
    (b"ghs_", 20, VALUE, False),
    (b"ghr_", 20, ALNUM, False),
    (b"github_pat_", 20, TOKEN, False),
    (b"hf_", 30, ALNUM, False),
    (b"api_org_", 30, ALNUM, False),
    (b"gsk_", 30, ALNUM, False),
    (b"npm_", 30, ALNUM, False),
    (b"lea_", 30, TOKEN, True),
    (b"GOCSPX-", 20, TOKEN, False),
    (b"glpat-", 20, TOKEN, False),
    (b"pypi-", 40, TOKEN, True),
    (b"xai-", 40, ALNUM, False),
    (b"xapp-", 10, TOKEN, True),
    *((b"xox%c-" % _letter, 10, TOKEN, True) for _letter in b"abceoprs"),
):
    PREFIXES.setdefault(_prefix[-2] << 8 | _prefix[-1], []).append((_prefix, _least, _bits, _mixed))
