// Prints a session token with docs/examples/mint/mint.go: KID AUDIENCE PARTNER OFFER ORIGIN [JTI TIME]
package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	id := make([]byte, 16)
	must(rand.Read(id))
	jti := base64.RawURLEncoding.EncodeToString(id)
	a := append(os.Args, jti, strconv.FormatInt(time.Now().Unix(), 10))
	claims := must(json.Marshal(map[string]any{
		"v": 1, "aud": a[2], "p": a[3], "o": a[4], "org": a[5], "jti": a[6], "ttl": 1800,
	}))
	now := must(strconv.ParseInt(a[7], 10, 64))
	fmt.Println(must(Mint(os.Getenv("OPTOUT_SIGNING_SECRET"), a[1], claims, now)))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
