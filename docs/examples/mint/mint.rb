# Prints a session token: ruby mint.rb KID AUDIENCE PARTNER OFFER ORIGIN [JTI TIME]
require "json"
require "openssl"
require "securerandom"

def b64(bytes) = [bytes].pack("m0").tr("+/", "-_").delete("=")
def hmac(key, text) = OpenSSL::HMAC.digest("SHA256", key, text)

# The secret as it was handed out; the time in Unix seconds.
def mint(secret, kid, claims, now)
  key = hmac(secret[9..].tr("-_", "+/").unpack1("m"), "optout.session.v1")
  body = "#{kid}.#{b64(JSON.generate(claims))}.#{b64([now].pack("N"))}"
  "#{body}.#{b64(hmac(key, body))}"
end

kid, aud, p, o, org, jti, now = ARGV
jti ||= SecureRandom.urlsafe_base64(16)
claims = { aud: aud, jti: jti, o: o, org: org, p: p, ttl: 1800, v: 1 }
puts mint(ENV.fetch("OPTOUT_SIGNING_SECRET"), kid, claims, (now || Time.now).to_i)
