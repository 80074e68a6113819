using System;
using System.Security.Cryptography;
using System.Text;

static class Mint {
  /// <summary>Signs claims, a JSON text, with the secret as it was handed out.</summary>
  public static string Token(string secret, string kid, string claims, DateTimeOffset now) {
    var raw = secret.Substring(9).Replace('-', '+').Replace('_', '/') + "=";
    var key = Hmac(Convert.FromBase64String(raw), "optout.session.v1");
    var at = now.ToUnixTimeSeconds();
    var time = new[] { (byte)(at >> 24), (byte)(at >> 16), (byte)(at >> 8), (byte)at };
    var body = kid + "." + B64(Utf8(claims)) + "." + B64(time);
    return body + "." + B64(Hmac(key, body));
  }

  static byte[] Utf8(string s) => Encoding.UTF8.GetBytes(s);
  static byte[] Hmac(byte[] key, string text) => new HMACSHA256(key).ComputeHash(Utf8(text));
  static string B64(byte[] bytes) => Url(Convert.ToBase64String(bytes).TrimEnd('='));
  static string Url(string s) => s.Replace('+', '-').Replace('/', '_');
}
