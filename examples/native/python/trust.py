"""Who calls, and may he: call tokens, the snapshots that say whom to believe, permissions."""

import json, time, uuid

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from wire import ME, b64, unb64

CLAIMS = {"sub", "serverName", "permissions", "role", "iss", "aud", "jti", "iat", "nbf", "exp", "par"}
SNAPSHOT = {"iss", "aud", "number", "iat_ms", "keys", "revoked", "grants"}


class Refused(Exception):
    """A call that does not run: code, case, and a sentence ("Errors")."""

    def __init__(self, code, kind, sentence, **more):
        super().__init__(sentence)
        self.code, self.kind, self.more = code, kind, more


def no_token(kind, sentence):
    return Refused(-32007, kind, sentence)


def read(data):
    """A JSON object, in which nothing stands twice."""
    def once(pairs):
        members = dict(pairs)
        if len(members) != len(pairs):
            raise ValueError("a member stands twice")
        return members

    return json.loads(data, object_pairs_hook=once)


def matches(pattern, text):
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def touches(pattern, prefix):
    """Whether the pattern is about anything below the prefix."""
    if pattern.endswith("*"):
        return pattern[:-1].startswith(prefix) or prefix.startswith(pattern[:-1])
    return pattern.startswith(prefix)


class Trust:
    def __init__(self, anchor):  # it came with our own call token
        self.mesh, self.keys = anchor["issuer"], self.public(anchor["keys"])
        self.number, self.until, self.revoked, self.grants = -1, 0, set(), []

    @staticmethod
    def public(jwks):
        return {key["kid"]: Ed25519PublicKey.from_public_bytes(unb64(key["x"])) for key in jwks["keys"]}

    def open(self, text, typ, most):
        """The signed JSON, if one whom we believe signed it."""
        if len(text) > most:
            raise ValueError("too long")
        head, body, signature = text.split(".")
        header = read(unb64(head))
        if header != {"alg": "EdDSA", "typ": typ, "kid": header.get("kid")}:
            raise ValueError("another header")
        self.keys[header["kid"]].verify(unb64(signature), f"{head}.{body}".encode())
        return read(unb64(body))

    def apply(self, text):  # "Trust snapshots"
        said = self.open(text, "weft-trust+jwt", 983040)
        fresh = abs(said["iat_ms"] / 1000 - time.time()) <= 30 and said["number"] > self.number
        if set(said) == SNAPSHOT and (said["iss"], said["aud"]) == (self.mesh, ME) and fresh:
            self.keys, self.revoked = self.public(said["keys"]), set(said["revoked"])
            self.number, self.until, self.grants = said["number"], time.monotonic() + 30, said["grants"]

    def check(self, token, caller, method, tool):  # "What a server checks", 12 to 16
        if time.monotonic() > self.until:
            raise Refused(-32603, "TRUST_STALE", "no trust snapshot has come for 30 s")
        try:
            held = self.open(token(), "weft+jwt", 8192)
            jti, audience = uuid.UUID(held["jti"]), held["aud"]
            if held["iss"] != self.mesh:
                raise ValueError("of another mesh")
        except (ValueError, KeyError, TypeError, AttributeError, InvalidSignature):
            raise no_token("TOKEN_INVALID", "the token is none of this mesh") from None
        now = time.time()
        if audience != "weft:call":
            raise no_token("TOKEN_WRONG_AUDIENCE", "the token is for another use")
        lives = held["exp"] - held["iat"]
        if set(held) != CLAIMS or held["serverName"] != held["sub"] or jti.version != 7 or not 0 <= lives <= 900:
            raise no_token("TOKEN_INVALID", "the token is none of this mesh")
        if max(held["iat"], held["nbf"]) > now + 5:
            raise no_token("TOKEN_INVALID", "the token does not hold yet")
        if held["exp"] + 5 < now:
            raise no_token("TOKEN_EXPIRED", "the token has expired: get a new one")
        if held["sub"] != caller:
            raise no_token("TOKEN_WRONG_CALLER", "the token is not the caller's own")
        if {b64(jti.bytes), b64(uuid.UUID(held["par"]).bytes)} & self.revoked:
            raise no_token("TOKEN_REVOKED", "the token was revoked")
        # "Grants": a condition that nobody evaluates here is in doubt, and gives nothing, but takes.
        mine = [grant for grant in self.grants if matches(grant["who"], caller)]
        given = [grant["permission"] for grant in mine if not grant.get("deny") and "if" not in grant]
        taken = [grant["permission"] for grant in mine if grant.get("deny")] if method == "tools/call" else []
        if any(self.permits(permission, method, tool) for permission in taken) or not any(
            self.permits(permission, method, tool) for permission in held["permissions"] + given
        ):
            raise Refused(-32004, "ACCESS_DENIED", f"{caller} may not {method} {tool or ''} here")

    @staticmethod
    def permits(permission, method, tool):  # "Permissions"
        action, _, target = permission.partition(":")
        target = target or action  # `*` alone
        if method == "tools/call":
            return matches(action, "call") and matches(target, f"tools/{ME}/{tool}")
        sees = any(matches(action, verb) for verb in ("call", "list", "read", "subscribe"))
        return sees and touches(target, f"tools/{ME}/")
