<?php
// Prints a session token: php mint.php KID AUDIENCE PARTNER OFFER ORIGIN [JTI TIME]

function b64(string $bytes): string {
  return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
}

// The secret as it was handed out; the time in Unix seconds.
function mint(string $secret, string $kid, array $claims, int $now): string {
  $raw = base64_decode(strtr(substr($secret, 9), '-_', '+/'));
  $key = hash_hmac('sha256', 'optout.session.v1', $raw, true);
  $payload = json_encode($claims, JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR);
  $body = $kid . '.' . b64($payload) . '.' . b64(pack('N', $now));
  return $body . '.' . b64(hash_hmac('sha256', $body, $key, true));
}

[, $kid, $aud, $p, $o, $org] = $argv;
$jti = $argv[6] ?? b64(random_bytes(16));
$claims = compact('aud', 'jti', 'o', 'org', 'p') + ['ttl' => 1800, 'v' => 1];
$secret = getenv('OPTOUT_SIGNING_SECRET') ?: throw new Exception('OPTOUT_SIGNING_SECRET is empty');
echo mint($secret, $kid, $claims, (int) ($argv[7] ?? time())), "\n";
