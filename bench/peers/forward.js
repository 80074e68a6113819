// nginx with njs: verify the session token, sign, forward, answer. Nothing is stored.
// Runs in Node too, where bench has a test of `verify`.
import crypto from "crypto";

const SALT = "optout.session.v1";
const LEEWAY = 60; // seconds

function hmac(key, text) {
  return crypto.createHmac("sha256", key).update(text);
}

// Return the claims of a token that `key` signed, or null; `now` in Unix seconds.
function verify(token, key, now) {
  const end = token.lastIndexOf(".");
  const parts = token.split(".");
  if (parts.length !== 4 || parts[0] !== key.kid) return null;
  const derived = hmac(Buffer.from(key.secret, "base64url"), SALT).digest();
  if (hmac(derived, token.slice(0, end)).digest("base64url") !== parts[3]) return null;
  const claims = JSON.parse(Buffer.from(parts[1], "base64url").toString());
  const issued = Buffer.from(parts[2], "base64url").readUInt32BE(0);
  if (claims.aud !== key.audience || claims.p !== key.partner) return null;
  if (now < issued - LEEWAY || now > issued + claims.ttl + LEEWAY) return null;
  return claims;
}

// Return the Authorization header of the `Signature` scheme: the date is what is signed.
function authorization(key, secret, date) {
  const mac = hmac(secret, "date: " + date).digest("base64");
  return (
    'Signature keyId="' + key + '",algorithm="hmac-sha256",signature="' +
    encodeURIComponent(mac) + '"'
  );
}

function fields(text) {
  const found = {};
  text.split("&").forEach((pair) => {
    const at = pair.indexOf("=");
    found[pair.slice(0, at)] = decodeURIComponent(pair.slice(at + 1).replace(/\+/g, " "));
  });
  return found;
}

async function choices(r) {
  const form = fields(r.requestText);
  const set = r.variables;
  const key = {
    kid: set.kid,
    secret: set.signing_secret,
    audience: set.audience,
    partner: set.partner,
  };
  const claims = verify(form.token, key, Date.now() / 1000);
  if (claims === null) return r.return(401);
  set.date = new Date().toUTCString();
  set.proof = authorization(set.api_key, set.api_secret, set.date);
  set.idempotency_key = claims.p + "." + claims.o; // the same on every attempt
  set.target = set.path_before + claims.o + set.path_after;
  const answer = await r.subrequest("/insurer", { method: "POST", body: "{}" });
  if (answer.status !== 204 && answer.status !== 409) return r.return(502);
  r.headersOut["Content-Type"] = "application/json";
  r.return(202, JSON.stringify({ id: form.id, offer: claims.o }));
}

export default { choices, verify, authorization };
