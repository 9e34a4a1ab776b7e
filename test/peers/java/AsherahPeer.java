import com.godaddy.asherah.appencryption.Session;
import com.godaddy.asherah.appencryption.SessionFactory;
import com.godaddy.asherah.appencryption.kms.AwsKeyManagementServiceImpl;
import com.godaddy.asherah.appencryption.kms.KeyManagementService;
import com.godaddy.asherah.appencryption.kms.StaticKeyManagementServiceImpl;
import com.godaddy.asherah.appencryption.persistence.DynamoDbMetastoreImpl;
import com.godaddy.asherah.crypto.BasicExpiringCryptoPolicy;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import org.json.JSONObject;

/**
 * A JSON lines interface to Asherah Java, with the protocol of asherah_peer.py. The first line of standard input is the
 * configuration, and each further line is a call. Each response is one line: {"ok": ...} or {"error": ...}.
 */
public final class AsherahPeer {
  private AsherahPeer() {}

  /** Reads calls until standard input ends. */
  public static void main(String[] args) throws Exception {
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    JSONObject config = new JSONObject(lines.readLine());
    try (SessionFactory sessions = sessionsOf(config)) {
      out.println(new JSONObject().put("ok", "ready"));
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        out.println(answer(sessions, new JSONObject(line)));
      }
    }
  }

  private static JSONObject answer(SessionFactory sessions, JSONObject call) {
    try (Session<byte[], JSONObject> session = sessions.getSessionBytesAsJson(call.getString("partition"))) {
      if (call.getString("op").equals("encrypt")) {
        byte[] payload = Base64.getDecoder().decode(call.getString("payload"));
        return new JSONObject().put("ok", session.encrypt(payload).toString());
      }
      byte[] payload = session.decrypt(new JSONObject(call.getString("record")));
      return new JSONObject().put("ok", Base64.getEncoder().encodeToString(payload));
    } catch (RuntimeException error) {
      return new JSONObject().put("error", error.toString());
    }
  }

  private static SessionFactory sessionsOf(JSONObject config) {
    DynamoDbMetastoreImpl.BuildStep metastore =
        DynamoDbMetastoreImpl.newBuilder(config.getString("region"))
            .withEndPointConfiguration(config.getString("dynamoDbEndpoint"), config.getString("region"))
            .withTableName(config.getString("tableName"));
    if (config.getBoolean("regionSuffix")) {
      metastore.withKeySuffix();
    }
    return SessionFactory.newBuilder(config.getString("product"), config.getString("service"))
        .withMetastore(metastore.build())
        .withCryptoPolicy(
            BasicExpiringCryptoPolicy.newBuilder().withKeyExpirationDays(90).withRevokeCheckMinutes(60).build())
        .withKeyManagementService(kmsOf(config))
        .build();
  }

  /** Java has no setting for the endpoint of KMS; the AWS SDK reads it from AWS_ENDPOINT_URL_KMS. */
  private static KeyManagementService kmsOf(JSONObject config) {
    if (!config.has("regionMap")) {
      byte[] key = hex(config.getString("staticMasterKeyHex"));
      return new StaticKeyManagementServiceImpl(new String(key, StandardCharsets.US_ASCII));
    }
    Map<String, String> regionMap = new HashMap<>();
    JSONObject configured = config.getJSONObject("regionMap");
    for (String region : configured.keySet()) {
      regionMap.put(region, configured.getString(region));
    }
    return AwsKeyManagementServiceImpl.newBuilder(regionMap, config.getString("preferredRegion")).build();
  }

  private static byte[] hex(String text) {
    return HexFormat.of().parseHex(text);
  }
}
