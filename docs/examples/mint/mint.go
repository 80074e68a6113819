package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// Mint signs claims, a JSON text, with the secret as it was handed out; now is in Unix seconds.
func Mint(secret, kid string, claims []byte, now int64) (string, error) {
	b64 := base64.RawURLEncoding
	time := binary.BigEndian.AppendUint32(nil, uint32(now))
	body := kid + "." + b64.EncodeToString(claims) + "." + b64.EncodeToString(time)
	key, err := b64.DecodeString(secret[9:])
	for _, text := range []string{"optout.session.v1", body} { // the key of the mac, then the mac
		hash := hmac.New(sha256.New, key)
		hash.Write([]byte(text))
		key = hash.Sum(nil)
	}
	return body + "." + b64.EncodeToString(key), err
}
