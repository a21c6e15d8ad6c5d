// Who calls, and may he: call tokens, the snapshots that say whom to believe, permissions.

import { createPublicKey, verify, type KeyObject } from "node:crypto";
import { ME, type Json } from "./wire.ts";

const CLAIMS = "aud,exp,iat,iss,jti,nbf,par,permissions,role,serverName,sub";
const SNAPSHOT = "aud,grants,iat_ms,iss,keys,number,revoked";

/** A call that does not run: code, case, and a sentence ("Errors"). */
export class Refused extends Error {
  code: number;
  kind: string;
  more: Json;
  constructor(code: number, kind: string, sentence: string, more: Json = {}) {
    super(sentence);
    [this.code, this.kind, this.more] = [code, kind, more];
  }
}

const noToken = (kind: string, sentence: string) => new Refused(-32007, kind, sentence);
const members = (value: Json) => Object.keys(value).sort().join();
const uuid = (text: string) => Buffer.from(text.replaceAll("-", ""), "hex").toString("base64url");

function bytes(text: string): Buffer {
  const data = Buffer.from(text, "base64url");
  if (data.toString("base64url") !== text) throw new Error("not base64url");
  return data;
}

const read = (text: string): Json => JSON.parse(bytes(text).toString());

const matches = (pattern: string, text: string) =>
  pattern.endsWith("*") ? text.startsWith(pattern.slice(0, -1)) : text === pattern;

/** Whether the pattern is about anything below the prefix. */
function touches(pattern: string, prefix: string): boolean {
  const start = pattern.replace(/\*$/, "");
  return start.startsWith(prefix) || (start !== pattern && prefix.startsWith(start));
}

export class Trust {
  #mesh: string;
  #keys: Map<string, KeyObject>;
  #number = -1;
  #until = 0;
  #revoked = new Set<string>();
  #grants: Json[] = [];

  constructor(anchor: Json) { // it came with our own call token
    [this.#mesh, this.#keys] = [anchor.issuer, Trust.#public(anchor.keys)];
  }

  static #public(jwks: Json): Map<string, KeyObject> {
    return new Map(jwks.keys.map((key: Json) => [key.kid, createPublicKey({ key, format: "jwk" })]));
  }

  /** The signed JSON, if one whom we believe signed it. */
  #open(text: string, typ: string, most: number): Json {
    const [head, body, signature, ...more] = text.split(".");
    if (text.length > most || signature === undefined || more.length) throw new Error("no token");
    const header = read(head);
    if (members(header) !== "alg,kid,typ" || header.alg !== "EdDSA" || header.typ !== typ) throw new Error("another header");
    const key = this.#keys.get(header.kid);
    if (!key || !verify(null, Buffer.from(`${head}.${body}`), key, bytes(signature))) throw new Error("signed by nobody known");
    return read(body);
  }

  apply(text: string): void { // "Trust snapshots"
    const said = this.#open(text, "weft-trust+jwt", 983_040);
    const ours = members(said) === SNAPSHOT && said.iss === this.#mesh && said.aud === ME;
    if (!ours || said.number <= this.#number || Math.abs(said.iat_ms - Date.now()) > 30_000) throw new Error("not for now");
    [this.#keys, this.#revoked, this.#grants] = [Trust.#public(said.keys), new Set(said.revoked), said.grants];
    [this.#number, this.#until] = [said.number, performance.now() + 30_000];
  }

  check(token: () => string, caller: string, method: string, tool: string): void { // "What a server checks", 12 to 16
    if (performance.now() > this.#until) throw new Refused(-32603, "TRUST_STALE", "no trust snapshot has come for 30 s");
    let held: Json;
    const text = token();
    try {
      held = this.#open(text, "weft+jwt", 8192);
      if (held.iss !== this.#mesh) throw new Error("of another mesh");
    } catch {
      throw noToken("TOKEN_INVALID", "the token is none of this mesh");
    }
    if (held.aud !== "weft:call") throw noToken("TOKEN_WRONG_AUDIENCE", "the token is for another use");
    const [now, lives] = [Date.now() / 1000, held.exp - held.iat];
    const shaped = members(held) === CLAIMS && held.serverName === held.sub && held.jti[14] === "7" && lives >= 0 && lives <= 900;
    if (!shaped) throw noToken("TOKEN_INVALID", "the token is none of this mesh");
    if (Math.max(held.iat, held.nbf) > now + 5) throw noToken("TOKEN_INVALID", "the token does not hold yet");
    if (held.exp + 5 < now) throw noToken("TOKEN_EXPIRED", "the token has expired: get a new one");
    if (held.sub !== caller) throw noToken("TOKEN_WRONG_CALLER", "the token is not the caller's own");
    if ([held.jti, held.par].some((id) => this.#revoked.has(uuid(id)))) throw noToken("TOKEN_REVOKED", "the token was revoked");
    // "Grants": a condition that nobody evaluates here is in doubt, and gives nothing, but takes.
    const mine = this.#grants.filter((grant) => matches(grant.who, caller));
    const given = mine.filter((grant) => !grant.deny && grant.if === undefined).map((grant) => grant.permission);
    const taken = method === "tools/call" ? mine.filter((grant) => grant.deny).map((grant) => grant.permission) : [];
    const permits = (permission: string) => Trust.#permits(permission, method, tool);
    if (taken.some(permits) || ![...held.permissions, ...given].some(permits)) throw new Refused(-32004, "ACCESS_DENIED", `${caller} may not ${method} ${tool ?? ""} here`);
  }

  static #permits(permission: string, method: string, tool: string): boolean { // "Permissions"
    const at = permission.indexOf(":");
    const [action, target] = at < 0 ? ["*", "*"] : [permission.slice(0, at), permission.slice(at + 1)];
    if (method === "tools/call") return matches(action, "call") && matches(target, `tools/${ME}/${tool}`);
    const sees = ["call", "list", "read", "subscribe"].some((verb) => matches(action, verb));
    return sees && touches(target, `tools/${ME}/`);
  }
}
