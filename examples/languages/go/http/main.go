// Encrypts and decrypts over HTTP, with requests that are signed with AWS Signature Version 4.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
)

// Message is a request or a response. In JSON, the bytes of Plaintext are base64.
type Message struct {
	Plaintext []byte          `json:"plaintext,omitempty"`
	Record    json.RawMessage `json:"record,omitempty"`
}

func call(aws aws.Config, operation string, message Message) (result Message) {
	body, err := json.Marshal(message)
	check(err)
	url := os.Getenv("KEYFOLD_URL") + "/v1/partitions/tenant-1/" + operation
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	check(err)
	request.Header.Set("Content-Type", "application/json")
	credentials, err := aws.Credentials.Retrieve(context.Background())
	check(err)
	hash := fmt.Sprintf("%x", sha256.Sum256(body))
	check(v4.NewSigner().SignHTTP(context.Background(), credentials, request, hash, "execute-api", aws.Region, time.Now()))
	response, err := http.DefaultClient.Do(request)
	check(err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	check(err)
	if response.StatusCode != http.StatusOK {
		log.Fatalf("%s: %s", response.Status, answer)
	}
	check(json.Unmarshal(answer, &result))
	return result
}

func main() {
	aws, err := config.LoadDefaultConfig(context.Background())
	check(err)
	sealed := call(aws, "encrypt", Message{Plaintext: []byte("hello")})
	opened := call(aws, "decrypt", Message{Record: sealed.Record})
	fmt.Println(string(opened.Plaintext))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
