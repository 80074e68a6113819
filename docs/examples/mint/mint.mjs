// Prints a session token: node mint.mjs KID AUDIENCE PARTNER OFFER ORIGIN [JTI TIME]
import { createHmac, randomBytes } from "node:crypto";

const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const b64 = (bytes) => Buffer.from(bytes).toString("base64url");

// The secret as it was handed out; the time in Unix seconds.
function mint(secret, kid, claims, now) {
  const key = hmac(Buffer.from(secret.slice(9), "base64url"), "optout.session.v1");
  const time = Buffer.alloc(4);
  time.writeUInt32BE(now);
  const body = `${kid}.${b64(JSON.stringify(claims))}.${b64(time)}`;
  return `${body}.${b64(hmac(key, body))}`;
}

const [kid, aud, p, o, org, jti = b64(randomBytes(16)), now = Date.now() / 1000] =
  process.argv.slice(2);
const claims = { aud, jti, o, org, p, ttl: 1800, v: 1 };
console.log(mint(process.env.OPTOUT_SIGNING_SECRET, kid, claims, Math.floor(now)));
