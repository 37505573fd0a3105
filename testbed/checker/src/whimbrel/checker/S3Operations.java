package whimbrel.checker;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import java.util.zip.CRC32C;
import software.amazon.awssdk.core.ResponseBytes;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;
import software.amazon.awssdk.services.s3.model.MetadataDirective;

/**
 * What others do to a target: operations on single objects, by the SDK of AWS. A line of JSON each,
 * with {@code operation} and the {@code path} below the target, done in order.
 */
final class S3Operations {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final S3Tree target;
  private final Findings findings;

  S3Operations(S3Tree target, Findings findings) {
    this.target = target;
    this.findings = findings;
  }

  /** Ends at the first one that fails. */
  boolean run(InputStream requests) throws IOException {
    BufferedReader lines =
        new BufferedReader(new InputStreamReader(requests, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      JsonNode request = JSON.readTree(line);
      String operation = request.path("operation").asText();
      run(operation, request, request.path("path").asText());
      findings.count(operation);
    }
    return findings.summarize();
  }

  private void run(String operation, JsonNode request, String path) {
    switch (operation) {
      case "put" ->
          put(path, request.path("text").asText().getBytes(StandardCharsets.UTF_8), Map.of());
      case "remove" -> target.client.deleteObject(it -> it.bucket(target.bucket).key(key(path)));
      case "copy" -> copy(path, request.path("to").asText());
      case "flip" -> {
        ResponseBytes<GetObjectResponse> object = get(path);
        byte[] bytes = object.asByteArray();
        bytes[request.path("position").asInt()] ^= 1;
        put(path, bytes, object.response().metadata());
      }
      case "truncate" -> {
        ResponseBytes<GetObjectResponse> object = get(path);
        byte[] bytes = Arrays.copyOf(object.asByteArray(), request.path("length").asInt());
        put(path, bytes, object.response().metadata());
      }
      case "swap" -> {
        String other = request.path("with").asText();
        ResponseBytes<GetObjectResponse> first = get(path);
        ResponseBytes<GetObjectResponse> second = get(other);
        put(path, second.asByteArray(), second.response().metadata());
        put(other, first.asByteArray(), first.response().metadata());
      }
      case "set_metadata" -> setMetadata(request, path);
      default -> throw new IllegalArgumentException("unknown operation " + operation);
    }
  }

  /** A field without a value goes; the bytes are not sent. */
  private void setMetadata(JsonNode request, String path) {
    Map<String, String> metadata =
        new HashMap<>(
            target.client.headObject(it -> it.bucket(target.bucket).key(key(path))).metadata());
    request
        .path("metadata")
        .fields()
        .forEachRemaining(
            field -> {
              if (field.getValue().isNull()) {
                metadata.remove(field.getKey());
              } else {
                metadata.put(field.getKey(), field.getValue().asText());
              }
            });
    target.client.copyObject(
        it ->
            it.sourceBucket(target.bucket)
                .sourceKey(key(path))
                .destinationBucket(target.bucket)
                .destinationKey(key(path))
                .metadataDirective(MetadataDirective.REPLACE)
                .metadata(metadata));
  }

  private void copy(String path, String to) {
    target.client.copyObject(
        it ->
            it.sourceBucket(target.bucket)
                .sourceKey(key(path))
                .destinationBucket(target.bucket)
                .destinationKey(key(to)));
  }

  private ResponseBytes<GetObjectResponse> get(String path) {
    return target.client.getObjectAsBytes(it -> it.bucket(target.bucket).key(key(path)));
  }

  private void put(String path, byte[] bytes, Map<String, String> metadata) {
    CRC32C checksum = new CRC32C();
    checksum.update(bytes);
    byte[] value = ByteBuffer.allocate(Integer.BYTES).putInt((int) checksum.getValue()).array();
    target.client.putObject(
        it ->
            it.bucket(target.bucket)
                .key(key(path))
                .metadata(metadata)
                .checksumCRC32C(Base64.getEncoder().encodeToString(value)),
        RequestBody.fromBytes(bytes));
  }

  /** A path that begins with a slash is one of the bucket. */
  private String key(String path) {
    return path.startsWith("/") ? path.substring(1) : target.prefix + path;
  }
}
