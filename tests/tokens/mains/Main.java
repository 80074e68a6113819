// Prints a session token with docs/examples/mint/Mint.java: KID AUDIENCE PARTNER OFFER ORIGIN [JTI TIME]
import java.time.Instant;
import java.util.UUID;

class Main {
  public static void main(String[] a) throws Exception {
    String jti = a.length > 5 ? a[5] : UUID.randomUUID().toString().replace("-", "");
    long now = a.length > 6 ? Long.parseLong(a[6]) : Instant.now().getEpochSecond();
    // There is no JSON in the standard library; these values need no escaping.
    String claims = "{'aud':'%s','jti':'%s','o':'%s','org':'%s','p':'%s','ttl':1800,'v':1}";
    claims = String.format(claims.replace('\'', '"'), a[1], jti, a[3], a[4], a[2]);
    System.out.println(Mint.mint(System.getenv("OPTOUT_SIGNING_SECRET"), a[0], claims, now));
  }
}
