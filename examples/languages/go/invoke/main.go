// Encrypts and decrypts by direct invocation of Lambda functions.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// Message is an event or a result. In JSON, the bytes of Plaintext are base64.
type Message struct {
	Operation string          `json:"operation,omitempty"`
	Partition string          `json:"partition,omitempty"`
	Plaintext []byte          `json:"plaintext,omitempty"`
	Record    json.RawMessage `json:"record,omitempty"`
}

func call(functions *lambda.Client, function string, event Message) (result Message) {
	payload, err := json.Marshal(event)
	check(err)
	answer, err := functions.Invoke(context.Background(), &lambda.InvokeInput{FunctionName: &function, Payload: payload})
	check(err)
	if answer.FunctionError != nil {
		log.Fatalf("%s: %s", *answer.FunctionError, answer.Payload)
	}
	check(json.Unmarshal(answer.Payload, &result))
	return result
}

func main() {
	aws, err := config.LoadDefaultConfig(context.Background())
	check(err)
	functions := lambda.NewFromConfig(aws)
	sealed := call(functions, "keyfold-seal", Message{Operation: "encrypt", Partition: "tenant-1", Plaintext: []byte("hello")})
	opened := call(functions, "keyfold-open", Message{Operation: "decrypt", Partition: "tenant-1", Record: sealed.Record})
	fmt.Println(string(opened.Plaintext))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
