package whimbrel.checker;

import java.io.IOException;
import java.net.URI;
import java.util.NavigableMap;
import java.util.TreeMap;
import software.amazon.awssdk.core.ResponseInputStream;
import software.amazon.awssdk.core.checksums.RequestChecksumCalculation;
import software.amazon.awssdk.core.checksums.ResponseChecksumValidation;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;
import software.amazon.awssdk.services.s3.model.ListObjectsV2Request;
import software.amazon.awssdk.services.s3.model.ListObjectsV2Response;
import software.amazon.awssdk.services.s3.model.S3Object;

/** The objects under a prefix, read by the SDK of AWS. */
final class S3Tree implements Tree {
  final S3Client client;
  final String bucket;
  /** Empty, or ending in a slash. */
  final String prefix;

  private final Exclusions exclusions;

  S3Tree(String url, Exclusions exclusions) {
    String place = url.substring(url.indexOf("://") + 3);
    int slash = place.indexOf('/');
    String path = slash < 0 ? "" : place.substring(slash + 1);
    while (path.endsWith("/")) {
      path = path.substring(0, path.length() - 1);
    }
    this.bucket = slash < 0 ? place : place.substring(0, slash);
    this.prefix = path.isEmpty() ? "" : path + "/";
    this.exclusions = exclusions;
    String endpoint = System.getenv("AWS_ENDPOINT_URL_S3");
    this.client =
        S3Client.builder()
            .endpointOverride(endpoint == null ? null : URI.create(endpoint))
            .region(Region.of(System.getenv().getOrDefault("AWS_REGION", "us-east-1")))
            .forcePathStyle(true)
            // Contents are compared with the source's, byte for byte; servers' sums are not asked.
            .responseChecksumValidation(ResponseChecksumValidation.WHEN_REQUIRED)
            .requestChecksumCalculation(RequestChecksumCalculation.WHEN_REQUIRED)
            .httpClientBuilder(UrlConnectionHttpClient.builder())
            .build();
  }

  /** Markers are listed as directories, directories without one are not listed. */
  @Override
  public NavigableMap<String, Entry> list() throws IOException {
    NavigableMap<String, Entry> entries = new TreeMap<>();
    for (S3Object object : objects("").values()) {
      String path = object.key().substring(prefix.length());
      if (path.isEmpty() || excluded(path)) {
        continue;
      }
      boolean marker = path.endsWith("/") && object.size() == 0;
      String name = marker ? path.substring(0, path.length() - 1) : path;
      // A file and a marker may stand under one name; a listing by keys shows both.
      String key = marker ? path : name;
      entries.put(
          key,
          new Entry(name, marker ? Kind.DIRECTORY : Kind.FILE, object.size(), false, false));
    }
    return entries;
  }

  private boolean excluded(String path) {
    for (int end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1)) {
      if (exclusions.excludes(path.substring(0, end))) {
        return true;
      }
    }
    return exclusions.excludes(path);
  }

  /** Those whose path below the prefix begins so. */
  NavigableMap<String, S3Object> objects(String beginning) {
    NavigableMap<String, S3Object> objects = new TreeMap<>();
    String token = null;
    do {
      ListObjectsV2Response page =
          client.listObjectsV2(
              ListObjectsV2Request.builder()
                  .bucket(bucket)
                  .prefix(prefix + beginning)
                  .continuationToken(token)
                  .build());
      page.contents().forEach(object -> objects.put(object.key(), object));
      token = Boolean.TRUE.equals(page.isTruncated()) ? page.nextContinuationToken() : null;
    } while (token != null);
    return objects;
  }

  @Override
  public Content open(Entry file) {
    ResponseInputStream<GetObjectResponse> stream =
        client.getObject(request -> request.bucket(bucket).key(prefix + file.path()));
    return new Content(stream, Metadata.fromObject(stream.response().metadata()));
  }

  @Override
  public Metadata directoryMetadata(Entry directory) {
    return Metadata.fromObject(
        client
            .headObject(request -> request.bucket(bucket).key(prefix + directory.path() + "/"))
            .metadata());
  }
}
