import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.lambda.LambdaClient;

/** Encrypts and decrypts by direct invocation of Lambda functions. */
public class Invoke {
  static final ObjectMapper JSON = new ObjectMapper();
  static final LambdaClient FUNCTIONS = LambdaClient.create();

  static JsonNode call(String function, Map<String, ?> event) throws IOException {
    var payload = SdkBytes.fromByteArray(JSON.writeValueAsBytes(event));
    var answer = FUNCTIONS.invoke(request -> request.functionName(function).payload(payload));
    var result = JSON.readTree(answer.payload().asByteArray());
    if (answer.functionError() != null) throw new IOException(result.toString());
    return result;
  }

  public static void main(String[] args) throws IOException {
    // Jackson writes and reads bytes as base64.
    var plaintext = "hello".getBytes(StandardCharsets.UTF_8);
    var sealed = call("keyfold-seal", Map.of("operation", "encrypt", "partition", "tenant-1", "plaintext", plaintext));
    var record = sealed.get("record");
    var opened = call("keyfold-open", Map.of("operation", "decrypt", "partition", "tenant-1", "record", record));
    System.out.println(new String(opened.get("plaintext").binaryValue(), StandardCharsets.UTF_8));
  }
}
