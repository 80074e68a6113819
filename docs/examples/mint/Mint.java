import java.nio.ByteBuffer;
import java.util.Base64;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

class Mint {
  /** Signs claims, a JSON text, with the secret as it was handed out; now is in Unix seconds. */
  static String mint(String secret, String kid, String claims, long now) throws Exception {
    Mac mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(Base64.getUrlDecoder().decode(secret.substring(9)), "HmacSHA256"));
    mac.init(new SecretKeySpec(mac.doFinal("optout.session.v1".getBytes()), "HmacSHA256"));
    byte[] time = ByteBuffer.allocate(4).putInt((int) now).array();
    String body = kid + "." + b64(claims.getBytes("UTF-8")) + "." + b64(time);
    return body + "." + b64(mac.doFinal(body.getBytes()));
  }

  static String b64(byte[] bytes) {
    return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
  }
}
