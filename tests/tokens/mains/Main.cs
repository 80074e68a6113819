// Prints a session token with docs/examples/mint/Mint.cs: KID AUDIENCE PARTNER OFFER ORIGIN [JTI TIME]
using System;
using System.Security.Cryptography;

static class Program {
  static void Main(string[] a) {
    var id = new byte[16];
    RandomNumberGenerator.Create().GetBytes(id);
    var jti = a.Length > 5 ? a[5] : BitConverter.ToString(id).Replace("-", "");
    var now = a.Length > 6 ? DateTimeOffset.FromUnixTimeSeconds(long.Parse(a[6])) : DateTimeOffset.UtcNow;
    // Mono has no JSON in its standard library; these values need no escaping.
    var claims = "{{'aud':'{0}','jti':'{1}','o':'{2}','org':'{3}','p':'{4}','ttl':1800,'v':1}}";
    claims = string.Format(claims.Replace('\'', '"'), a[1], jti, a[3], a[4], a[2]);
    var secret = Environment.GetEnvironmentVariable("OPTOUT_SIGNING_SECRET");
    Console.WriteLine(Mint.Token(secret, a[0], claims, now));
  }
}
