"""The rules of tokens: for each, tokens that break it and tokens that are unusual and keep it.

Every token here is signed correctly with the app's own key, except those of the rules about
signing. So nothing but the rule itself can refuse a token. test_token_rules.py runs the rules, and
test_docs.py compares their names with docs/security.md.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any

from flask_tenant_auth._core import Key

SECRET = b"a secret of the tests, 32 bytes or more"
TENANT = "550e8400-e29b-41d4-a716-446655440000"
OTHER_TENANT = "0d9f8e7d-6c5b-4a39-9827-16f5e4d3c2b1"
USER = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
NOW = int(time.time())
HEADER = {"alg": "HS256", "typ": "JWT"}
ABSENT = object()


def encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def octets(part: Any) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part).encode()


def token(header: Any, payload: Any, secret: bytes = SECRET) -> str:
    """A token with a good HS256 signature, whatever its header and payload are."""
    message = f"{encoded(octets(header))}.{encoded(octets(payload))}"
    return f"{message}.{encoded(hmac.new(secret, message.encode(), hashlib.sha256).digest())}"


def claims(**changes: Any) -> dict[str, Any]:
    """The ordinary claims, some changed, some absent."""
    ordinary = {"tenant_id": TENANT, "user_id": USER, "role": "user", "exp": NOW + 600}
    return {name: value for name, value in (ordinary | changes).items() if value is not ABSENT}


def raw(more: str, exp: str | None = str(NOW + 600)) -> bytes:
    """A payload whose text json.dumps would not write."""
    exp_member = "" if exp is None else f',"exp":{exp}'
    return f'{{"tenant_id":"{TENANT}","user_id":"{USER}"{exp_member}{more}}}'.encode()


def header(**changes: Any) -> str:
    merged = {k: v for k, v in (HEADER | changes).items() if v is not ABSENT}
    return token(merged, claims())


def payload(text: str) -> str:
    return token(HEADER, raw(text))


def claim(**changes: Any) -> str:
    return token(HEADER, claims(**changes))


GOOD = claim()
HEAD, BODY, SIGNATURE = GOOD.split(".")
SPACED = f" {json.dumps(claims(), indent=4)}\n".encode()


@dataclass(frozen=True)
class Rule:
    """What a token must be. Each refused token comes with the reason the log gives."""

    name: str
    source: str
    refused: dict[str, tuple[str, str]]
    accepted: dict[str, str] = field(default_factory=dict)


def each(reason: str, **tokens: str) -> dict[str, tuple[str, str]]:
    return {name: (text, reason) for name, text in tokens.items()}


RULES = [
    Rule(
        "length",
        "RFC 8725, 3.11 (limits); JWT_MAX_TOKEN_BYTES",
        each("too_long", one_byte_over=GOOD + "A" * (8193 - len(GOOD)), a_megabyte="A" * 2**20),
        {"large_but_within": claim(x="a" * 5000)},
    ),
    Rule(
        "three segments",
        "RFC 7515, 7.1; RFC 7519, 7.2",
        each(
            "not_three_segments",
            none="",
            one=HEAD,
            two=f"{HEAD}.{BODY}",
            four=GOOD + ".AAAA",
            only_dots="..",
            no_header=f".{BODY}.{SIGNATURE}",
            no_payload=f"{HEAD}..{SIGNATURE}",
            no_signature=f"{HEAD}.{BODY}.",
            five_as_jwe=f"{HEAD}.{BODY}.{SIGNATURE}.{BODY}.{HEAD}",
        ),
        {"three": GOOD},
    ),
    Rule(
        "canonical base64url",
        "RFC 7515, 2 and appendix C; RFC 4648, 3.3 and 3.5",
        each(
            "base64url_invalid",
            padding=GOOD + "=",
            space_before=" " + GOOD,
            line_end_after=GOOD + "\n",
            nul_after=GOOD + "\0",
            space_inside=f"{HEAD[:4]} {HEAD[4:]}.{BODY}.{SIGNATURE}",
            plain_alphabet=f"{HEAD}.{BODY}.{SIGNATURE[:-1]}+",
            trailing_bits=GOOD[:-1] + chr(ord(GOOD[-1]) + 1),
            impossible_length=f"{HEAD}A.{BODY}.{SIGNATURE}"
            if len(HEAD) % 4 == 0
            else f"{HEAD}{'A' * ((5 - len(HEAD)) % 4)}.{BODY}.{SIGNATURE}",
        ),
    ),
    Rule(
        "the key decides the algorithm",
        "RFC 8725, 2.1, 3.1 and 3.2; RFC 7515, 4.1.1 (case-sensitive)",
        each(
            "algorithm_mismatch",
            none=header(alg="none"),
            None_=header(alg="None"),
            other_case=header(alg="hs256"),
            another_hash=header(alg="HS512"),
            public_key=header(alg="RS256"),
            nul_after=header(alg="HS256\0"),
            space_after=header(alg="HS256 "),
            empty=header(alg=""),
            unsigned=f"{encoded(octets({'alg': 'none'}))}.{BODY}.AAAA",
        )
        | each(
            "algorithm_missing",
            absent=header(alg=ABSENT),
            array=header(alg=["HS256"]),
            number=header(alg=256),
            null=header(alg=None),
        ),
        {"escaped_name_and_value": token(b'{"\\u0061lg":"HS\\u0032\\u0035\\u0036"}', claims())},
    ),
    Rule(
        "no critical extensions",
        "RFC 7515, 4.1.11; RFC 7797, 3 and 6",
        each(
            "crit_refused",
            of_exp=header(crit=["exp"]),
            empty=header(crit=[]),
            null=header(crit=None),
            unknown=header(crit=["x"], x=1),
        )
        | each("b64_refused", b64_false=header(b64=False), b64_true=header(b64=True)),
        {"unknown_but_not_critical": header(x=1, cty="x", zip="x")},
    ),
    Rule(
        "a token brings no key of its own",
        "RFC 7515, 4.1.2 to 4.1.8; RFC 8725, 3.10",
        each(
            "signature_mismatch",
            own_jwk=token(
                HEADER | {"jwk": {"kty": "oct", "k": encoded(b"x" * 32)}}, claims(), b"x" * 32
            ),
            own_url=token(HEADER | {"jku": "https://evil.example/jwks"}, claims(), b"x" * 32),
            own_certificate=token(
                HEADER | {"x5c": ["AAAA"], "x5u": "https://evil.example"}, claims(), b"x" * 32
            ),
        ),
        {
            "they_are_ignored": header(
                jwk={"kty": "oct", "k": "AA"}, jku="https://x", x5u="https://y"
            )
        },
    ),
    Rule(
        "kid selects among own keys",
        "RFC 7515, 4.1.4; RFC 8725, 3.10",
        each(
            "kid_unknown",
            unknown=token(HEADER | {"kid": "x"}, claims(), b"y" * 32),
            empty=token(HEADER | {"kid": ""}, claims(), b""),
            path=token(HEADER | {"kid": "../../../dev/null"}, claims(), b""),
            sql=token(HEADER | {"kid": "' UNION SELECT 'k"}, claims(), b"k"),
        )
        | each("kid_invalid", number=header(kid=1), null=header(kid=None), array=header(kid=[]))
        | each(
            "signature_mismatch",
            own_kid=token(HEADER | {"kid": Key.secret("HS256", SECRET).kid}, claims(), b"y" * 32),
        ),
        {
            "absent": GOOD,
            "own": header(kid=Key.secret("HS256", SECRET).kid),
            # It is a hint (RFC 7515, 4.1.4), and this key has no kid that somebody gave it.
            "of_somebody_else": header(kid="x"),
        },
    ),
    Rule(
        "no other kind of token",
        "RFC 8725, 2.8 and 3.11; RFC 7515, 4.1.9; RFC 9068, 2.1",
        each(
            "typ_invalid",
            dpop=header(typ="dpop+jwt"),
            security_event=header(typ="secevent+jwt"),
            logout=header(typ="application/logout+jwt"),
            number=header(typ=1),
            null=header(typ=None),
        ),
        {
            "absent": header(typ=ABSENT),
            "other_case": header(typ="jwt"),
            "media_type": header(typ="application/JWT"),
            "access_token": header(typ="at+jwt"),
        },
    ),
    Rule(
        "the signature is right",
        "RFC 7515, 5.2; RFC 7518, 3.2; RFC 8725, 3.2",
        each(
            "signature_mismatch",
            other_key=token(HEADER, claims(), b"y" * 32),
            other_payload=f"{HEAD}.{encoded(octets(claims(role='admin')))}.{SIGNATURE}",
            shortened=f"{HEAD}.{BODY}.{encoded(base64.urlsafe_b64decode(SIGNATURE + '=')[:-1])}",
            lengthened=f"{HEAD}.{BODY}.{encoded(base64.urlsafe_b64decode(SIGNATURE + '=') + b'0')}",
            one_byte=f"{HEAD}.{BODY}.AA",
            a_kilobyte=f"{HEAD}.{BODY}.{'A' * 1024}",
        ),
        {"right": GOOD},
    ),
    Rule(
        "JSON objects",
        "RFC 7519, 7.2; RFC 8259, 2 to 7; RFC 8725, 2.4",
        each(
            "json_not_object",
            header_array=token(b"[]", claims()),
            header_text=token(b'"alg"', claims()),
            payload_array=token(HEADER, b"[]"),
            payload_null=token(HEADER, b"null"),
            payload_number=token(HEADER, b"1"),
        )
        | each(
            "json_invalid",
            empty_after_space=token(HEADER, b" "),
            trailing_text=token(HEADER, raw("") + b"x"),
            trailing_nul=token(HEADER, raw("") + b"\0"),
            two_objects=token(HEADER, raw("") + b"{}"),
            trailing_comma=payload(","),
            single_quotes=payload(",'x':1"),
            comment=payload("/**/"),
            bare_name=payload(",x:1"),
            literal_case=payload(',"x":True'),
            bad_escape=payload(r',"x":"\x41"'),
            short_escape=payload(r',"x":"\u12"'),
            control_character=payload(',"x":"\n"'),
            leading_zero=payload(',"x":01'),
            leading_plus=payload(',"x":+1'),
            bare_fraction=payload(',"x":.5'),
            bare_point=payload(',"x":5.'),
            hexadecimal=payload(',"x":0x1'),
            not_a_number=payload(',"x":NaN'),
            infinity=payload(',"x":-Infinity'),
            unclosed=token(HEADER, raw("")[:-1]),
            header_trailing=token(b'{"alg":"HS256"} x', claims()),
        ),
        {
            "white_space": token(b' {\n"alg"\t:\r"HS256" } ', SPACED),
            "nested": claim(x={"a": [1, {"b": None}], "c": True, "": ""}),
            "any_escape": payload(r',"x":"\"\\\/\b\f\n\r\t\u0000\ud83d\ude00"'),
            "any_number": payload(',"x":[-0,0.5,1e9,1E-9,-1.5e+3,123456789012345678901234567890]'),
            "delete_character": payload(',"x":"\x7f"'),
        },
    ),
    Rule(
        "valid Unicode",
        "RFC 7519, 7.2; RFC 8259, 8.1; RFC 3629, 3",
        each(
            "json_not_utf8",
            header=token(b'{"alg":"HS256","x":"\xff"}', claims()),
            overlong=token(HEADER, raw(',"x":"?"').replace(b"?", b"\xc0\x80")),
            surrogate=token(HEADER, raw(',"x":"?"').replace(b"?", b"\xed\xa0\x80")),
            beyond=token(HEADER, raw(',"x":"?"').replace(b"?", b"\xf4\x90\x80\x80")),
            cut_short=token(HEADER, raw(',"x":"?"').replace(b"?", b"\xe2\x82")),
            lone_escape=payload(r',"x":"\ud800"'),
            reversed_pair=payload(r',"x":"\ude00\ud83d"'),
        )
        | each(
            "json_invalid",
            byte_order_mark=token(HEADER, b"\xef\xbb\xbf" + raw("")),
            utf_16=token(HEADER, raw("").decode().encode("utf-16-le")),
        ),
        {"any_script": claim(name="Zoë Ωmega 李 😀")},
    ),
    Rule(
        "no name twice",
        "RFC 7519, 4; RFC 7515, 4; RFC 8725, 2.4",
        each(
            "json_name_repeated",
            claim=payload(f',"exp":{NOW + 600}'),
            escaped_claim=payload(f',"\\u0065xp":{NOW + 600}'),
            tenant=payload(f',"tenant_id":"{USER}"'),
            nested=payload(',"x":{"a":1,"a":1}'),
            in_an_array=payload(',"x":[{"a":1,"a":2}]'),
            algorithm=token(b'{"alg":"HS256","alg":"HS256"}', claims()),
            escaped_algorithm=token(b'{"alg":"HS256","\\u0061lg":"none"}', claims()),
            among_hundreds=payload("".join(f',"k{i}":0' for i in range(300)) + ',"k150":1'),
        ),
        {
            "in_different_objects": payload(',"x":{"exp":1},"y":{"exp":2}'),
            "in_another_case": payload(',"EXP":1,"Tenant_ID":2'),
            "hundreds": payload("".join(f',"k{i}":0' for i in range(300))),
        },
    ),
    Rule(
        "bounded nesting and numbers",
        "RFC 8259, 9",
        each(
            "json_too_deep",
            arrays=payload(f',"x":{"[" * 1000}{"]" * 1000}'),
            objects=payload(',"x":' + '{"a":' * 500 + "1" + "}" * 500),
        )
        | each("json_number_too_long", digits=payload(f',"x":{"9" * 5000}')),
        {
            "thirty_deep": payload(f',"x":{"[" * 30}{"]" * 30}'),
            "hundred_digits": payload(f',"x":{"9" * 100}'),
        },
    ),
    Rule(
        "exp is required",
        "RFC 7519, 4.1.4 and 2 (NumericDate); RFC 8725, 3.10",
        each("exp_missing", absent=claim(exp=ABSENT))
        | each(
            "exp_invalid",
            text=claim(exp=str(NOW + 600)),
            null=claim(exp=None),
            true=claim(exp=True),
            array=claim(exp=[NOW + 600]),
            object=claim(exp={}),
            not_finite=token(HEADER, raw("", "1e999")),
            digits_beyond_a_double=token(HEADER, raw("", "9" * 400)),
        )
        | each(
            "expired",
            past=claim(exp=NOW - 1),
            this_second=claim(exp=NOW),
            fraction=claim(exp=NOW - 0.5),
            zero=claim(exp=0),
            negative=claim(exp=-1),
            beyond_64_bits_before=claim(exp=-(2**70)),
        ),
        {
            "fraction_to_come": claim(exp=NOW + 600.5),
            "exponent": token(HEADER, raw("", "1.9e10")),
            "capital_exponent": token(HEADER, raw("", "19E+9")),
            "negative_exponent": token(HEADER, raw("", "190000000000e-1")),
            "beyond_64_bits": claim(exp=2**70),
            "very_large": token(HEADER, raw("", "1e300")),
        },
    ),
    Rule(
        "nbf and iat are times",
        "RFC 7519, 4.1.5 and 4.1.6",
        each("not_yet_valid", tomorrow=claim(nbf=NOW + 86400), beyond=claim(nbf=2**70))
        | each("nbf_invalid", text=claim(nbf="0"), null=claim(nbf=None), true=claim(nbf=True))
        | each(
            "iat_invalid",
            iat_text=claim(iat="0"),
            iat_not_finite=token(HEADER, raw(',"iat":1e999')),
        ),
        {
            "valid_since": claim(nbf=NOW - 1, iat=NOW - 1),
            "fractions": claim(nbf=NOW - 0.25, iat=NOW - 0.75),
            "issued_by_a_clock_ahead": claim(iat=NOW + 30),
        },
    ),
    Rule(
        "an unexpected audience",
        "RFC 7519, 4.1.3; RFC 8725, 3.9",
        each("aud_unexpected", one=claim(aud="api"), several=claim(aud=["api", "b"]))
        | each("aud_invalid", null=claim(aud=None), number=claim(aud=1), mixed=claim(aud=["a", 1])),
    ),
    Rule(
        "names are strings",
        "RFC 7519, 4.1.1, 4.1.2 and 4.1.7",
        each("iss_invalid", issuer=claim(iss=1))
        | each("sub_invalid", subject=claim(sub=["x"]))
        | each("jti_invalid", id=claim(jti=None)),
        {"strings": claim(iss="https://x", sub="y", jti="z")},
    ),
    Rule(
        "tenant and user are UUIDs",
        "RFC 9562, 4; RFC 8725, 3.10",
        each("tenant_id_missing", absent=claim(tenant_id=ABSENT))
        | each("user_id_missing", user_absent=claim(user_id=ABSENT))
        | each(
            "tenant_id_invalid",
            null=claim(tenant_id=None),
            array=claim(tenant_id=[TENANT]),
            number=claim(tenant_id=1),
            braces=claim(tenant_id=f"{{{TENANT}}}"),
            urn=claim(tenant_id=f"urn:uuid:{TENANT}"),
            no_hyphens=claim(tenant_id=TENANT.replace("-", "")),
            space_after=claim(tenant_id=TENANT + " "),
            line_end_after=claim(tenant_id=TENANT + "\n"),
            nul_after=claim(tenant_id=TENANT + "\0"),
            other_digits=claim(tenant_id=TENANT[:-1] + "\uff10"),
            empty=claim(tenant_id=""),
        )
        | each("user_id_invalid", user_text=claim(user_id="me")),
        {
            "upper_case": claim(tenant_id=TENANT.upper()),
            "escaped": token(HEADER, raw("").replace(b"550e", b"\\u0035\\u0035\\u0030e")),
            "nil": claim(user_id="00000000-0000-0000-0000-000000000000"),
        },
    ),
    Rule(
        "a role is text",
        "RFC 8725, 3.10",
        each(
            "role_invalid",
            null=claim(role=None),
            number=claim(role=1),
            true=claim(role=True),
            object=claim(role={"admin": True}),
            list_of_a_number=claim(role=["admin", 1]),
            list_of_a_list=claim(role=[["admin"]]),
        ),
        {
            "user": GOOD,
            "admin": claim(role="admin"),
            "list": claim(role=["user", "admin"]),
            "unknown": claim(role="root"),  # the weakest role
            "absent": claim(role=ABSENT),
        },
    ),
    Rule(
        "an access token",
        "RFC 8725, 2.8 and 3.11",
        each(
            "token_use_refused",
            refresh_of_flask_jwt_extended=claim(type="refresh"),
            refresh_of_keycloak=claim(typ="Refresh"),
            id_of_keycloak=claim(typ="ID"),
            id_of_cognito=claim(token_use="id"),
        ),
        {
            "access": claim(type="access"),
            "bearer": claim(typ="Bearer"),
            "of_cognito": claim(token_use="access"),
        },
    ),
    Rule(
        "an actor is of the tenant",
        "RFC 8693, 4.1",
        each("actor_foreign", other=claim(act={"sub": "x", "tenant_id": OTHER_TENANT}))
        | each("act_invalid", text=claim(act="x"), array=claim(act=[]), null=claim(act=None))
        | each("act_sub_invalid", number=claim(act={"sub": 1}))
        | each("act_tenant_id_invalid", text=claim(act={"tenant_id": "x"})),
        {
            "own": claim(act={"sub": "x", "tenant_id": TENANT}),
            "of_no_tenant": claim(act={"sub": "x"}),
        },
    ),
]
