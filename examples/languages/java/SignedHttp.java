import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.http.ContentStreamProvider;
import software.amazon.awssdk.http.HttpExecuteRequest;
import software.amazon.awssdk.http.SdkHttpClient;
import software.amazon.awssdk.http.SdkHttpMethod;
import software.amazon.awssdk.http.SdkHttpRequest;
import software.amazon.awssdk.http.auth.aws.signer.AwsV4HttpSigner;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.providers.DefaultAwsRegionProviderChain;

/** Encrypts and decrypts over HTTP, with requests that are signed with AWS Signature Version 4. */
public class SignedHttp {
  static final ObjectMapper JSON = new ObjectMapper();
  static final SdkHttpClient HTTP = UrlConnectionHttpClient.create();
  static final DefaultCredentialsProvider CREDENTIALS = DefaultCredentialsProvider.builder().build();
  static final String REGION = new DefaultAwsRegionProviderChain().getRegion().id();

  static JsonNode call(String operation, Map<String, ?> message) throws IOException {
    var url = URI.create(System.getenv("KEYFOLD_URL") + "/v1/partitions/tenant-1/" + operation);
    var request = SdkHttpRequest.builder().method(SdkHttpMethod.POST).uri(url)
        .putHeader("Content-Type", "application/json").build();
    var body = ContentStreamProvider.fromByteArray(JSON.writeValueAsBytes(message));
    var signed = AwsV4HttpSigner.create().sign(it -> it.identity(CREDENTIALS.resolveCredentials())
        .request(request).payload(body)
        .putProperty(AwsV4HttpSigner.SERVICE_SIGNING_NAME, "execute-api")
        .putProperty(AwsV4HttpSigner.REGION_NAME, REGION));
    var sent = HttpExecuteRequest.builder().request(signed.request()).contentStreamProvider(body).build();
    var answer = HTTP.prepareRequest(sent).call();
    var result = JSON.readTree(answer.responseBody().orElseThrow());
    if (!answer.httpResponse().isSuccessful()) throw new IOException(result.toString());
    return result;
  }

  public static void main(String[] args) throws IOException {
    // Jackson writes and reads bytes as base64.
    var sealed = call("encrypt", Map.of("plaintext", "hello".getBytes(StandardCharsets.UTF_8)));
    var opened = call("decrypt", Map.of("record", sealed.get("record")));
    System.out.println(new String(opened.get("plaintext").binaryValue(), StandardCharsets.UTF_8));
  }
}
