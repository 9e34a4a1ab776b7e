// A JSON lines interface to Asherah Go with version 2 of the AWS SDK. The protocol is that of asherah_peer.py. The
// first line of standard input is the configuration, and each further line is a call. Each response is one line: {"ok":
// ...} or {"error": ...}.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/godaddy/asherah/go/appencryption"
	"github.com/godaddy/asherah/go/appencryption/pkg/crypto/aead"
	static "github.com/godaddy/asherah/go/appencryption/pkg/kms"
	"github.com/godaddy/asherah/go/appencryption/plugins/aws-v2/dynamodb/metastore"
	"github.com/godaddy/asherah/go/appencryption/plugins/aws-v2/kms"
)

type options struct {
	Service, Product, TableName, DynamoDbEndpoint, Region, StaticMasterKeyHex, PreferredRegion string
	RegionSuffix                                                                               bool
	RegionMap                                                                                  map[string]string
}

type call struct {
	Op, Partition, Record string
	Payload               []byte
}

type answer struct {
	Ok    *string `json:"ok,omitempty"`
	Error string  `json:"error,omitempty"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64*1024*1024)
	out := json.NewEncoder(os.Stdout)
	lines.Scan()
	sessions, err := open(lines.Bytes())
	say(out, "ready", err)
	for err == nil && lines.Scan() {
		text, fault := perform(sessions, lines.Bytes())
		say(out, text, fault)
	}
}

func say(out *json.Encoder, text string, err error) {
	line := answer{Ok: &text}
	if err != nil {
		line = answer{Error: err.Error()}
	}
	if out.Encode(line) != nil {
		os.Exit(1)
	}
}

func open(line []byte) (*appencryption.SessionFactory, error) {
	var given options
	if err := json.Unmarshal(line, &given); err != nil {
		return nil, err
	}
	loaded, err := config.LoadDefaultConfig(context.Background(), config.WithRegion(given.Region))
	if err != nil {
		return nil, err
	}
	client := dynamodb.NewFromConfig(loaded, func(o *dynamodb.Options) { o.BaseEndpoint = aws.String(given.DynamoDbEndpoint) })
	store, err := metastore.NewDynamoDB(
		metastore.WithDynamoDBClient(client),
		metastore.WithTableName(given.TableName),
		metastore.WithRegionSuffix(given.RegionSuffix),
	)
	if err != nil {
		return nil, err
	}
	crypto := aead.NewAES256GCM()
	keys, err := openKms(given, crypto)
	if err != nil {
		return nil, err
	}
	names := &appencryption.Config{Service: given.Service, Product: given.Product, Policy: appencryption.NewCryptoPolicy()}
	return appencryption.NewSessionFactory(names, store, keys, crypto), nil
}

func openKms(given options, crypto appencryption.AEAD) (appencryption.KeyManagementService, error) {
	if given.RegionMap != nil {
		return kms.NewAWS(crypto, given.PreferredRegion, given.RegionMap)
	}
	key, err := hex.DecodeString(given.StaticMasterKeyHex)
	if err != nil {
		return nil, err
	}
	return static.NewStatic(string(key), crypto)
}

func perform(sessions *appencryption.SessionFactory, line []byte) (string, error) {
	var asked call
	if err := json.Unmarshal(line, &asked); err != nil {
		return "", err
	}
	session, err := sessions.GetSession(asked.Partition)
	if err != nil {
		return "", err
	}
	defer session.Close()
	if asked.Op == "encrypt" {
		record, err := session.Encrypt(context.Background(), asked.Payload)
		if err != nil {
			return "", err
		}
		text, err := json.Marshal(record)
		return string(text), err
	}
	var record appencryption.DataRowRecord
	if err := json.Unmarshal([]byte(asked.Record), &record); err != nil {
		return "", err
	}
	payload, err := session.Decrypt(context.Background(), record)
	return base64.StdEncoding.EncodeToString(payload), err
}
