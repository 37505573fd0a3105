package whimbrel.checker;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.PrintStream;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Set;
import software.amazon.awssdk.services.s3.model.HeadObjectResponse;
import software.amazon.awssdk.services.s3.model.NoSuchKeyException;
import software.amazon.awssdk.services.s3.model.S3Object;

/**
 * Lists the jobs' folders of a target again and again and looks for a {@code _SUCCESS} that stands
 * before its files, or comes long after them. The churn generator writes into each which files
 * belong to it and when it was committed.
 */
final class CommitPoller {
  private static final ObjectMapper JSON = new ObjectMapper();
  /** How the folders that jobs write begin: nothing else is listed, which would be most work. */
  private static final String JOBS = "jobs-";

  private final S3Tree tree;
  private final PrintStream out;
  /** Contents of markers, by key and ETag. */
  private final Map<String, JsonNode> markers = new HashMap<>();
  private final Set<String> reported = new HashSet<>();
  /** When each object was first seen as it is, by key and ETag. */
  private Map<String, Long> seen = new HashMap<>();
  private long polls;
  private long violations;
  /** From the commit at the source until it is seen, the longest. */
  private long latestMilliseconds;
  /** From when the last of its files is seen until it is, the longest. */
  private long latestAfterFilesMilliseconds;
  /** Which that was, and when it was seen. */
  private String latest = "";
  private long latestSeen;

  CommitPoller(S3Tree tree, PrintStream out) {
    this.tree = tree;
    this.out = out;
  }

  /** Polls until standard input ends; true if no marker came too early. */
  boolean run() throws Exception {
    Thread input = new Thread(CommitPoller::readToEnd, "standard-input");
    input.setDaemon(true);
    input.start();
    while (input.isAlive()) {
      poll();
      input.join(100);
    }
    ObjectNode summary = JSON.createObjectNode().put("type", "summary").put("polls", polls);
    summary.put("markers", markers.size()).put("violations", violations);
    summary.put("latest_seconds", latestMilliseconds / 1000.0);
    summary.put("latest_after_files_seconds", latestAfterFilesMilliseconds / 1000.0);
    summary.put("latest", latest).put("latest_seen_milliseconds", latestSeen);
    out.println(summary.put("equal", violations == 0));
    return violations == 0;
  }

  private static void readToEnd() {
    try {
      System.in.readAllBytes();
    } catch (IOException end) {
      // A broken pipe ends the poll as well as a closed one.
    }
  }

  private void poll() throws IOException {
    polls++;
    NavigableMap<String, S3Object> objects = tree.objects(JOBS);
    Map<String, Long> seenBefore = seen;
    seen = new HashMap<>();
    long now = System.currentTimeMillis();
    for (S3Object object : objects.values()) {
      seen.put(identity(object), seenBefore.getOrDefault(identity(object), now));
    }
    for (S3Object object : objects.values()) {
      if (!object.key().endsWith("/_SUCCESS") || object.size() == 0) {
        continue;
      }
      boolean first = !markers.containsKey(identity(object));
      JsonNode content = content(object);
      if (content == null) {
        continue;
      }
      String folder = object.key().substring(0, object.key().length() - "_SUCCESS".length());
      // What stood there at the first look has been waiting for the poller, not the other way.
      if (first && polls > 1) {
        measure(object, folder, content, objects);
      }
      for (JsonNode file : content.path("files")) {
        S3Object listed = objects.get(folder + file.path("name").asText());
        if (listed == null || listed.size() != file.path("bytes").asLong()) {
          confirm(object, folder, file);
        }
      }
    }
  }

  /** How late a commit came that is seen for the first time. */
  private void measure(
      S3Object marker, String folder, JsonNode content, NavigableMap<String, S3Object> objects) {
    long markerSeen = seen.get(identity(marker));
    long committed = content.path("committed_milliseconds").asLong(markerSeen);
    latestMilliseconds = Math.max(latestMilliseconds, markerSeen - committed);
    // Files may have stood there before the job ended: it cannot be seen before it is committed.
    long last = committed;
    for (JsonNode file : content.path("files")) {
      S3Object listed = objects.get(folder + file.path("name").asText());
      if (listed != null) {
        last = Math.max(last, seen.get(identity(listed)));
      }
    }
    long late = markerSeen - last;
    if (late > latestAfterFilesMilliseconds) {
      latestAfterFilesMilliseconds = late;
      latest = marker.key();
      latestSeen = markerSeen;
    }
  }

  private static String identity(S3Object object) {
    return object.key() + " " + object.eTag();
  }

  /** The pages of a listing are of different moments, so a suspicion is looked into. */
  private void confirm(S3Object marker, String folder, JsonNode file) {
    String key = folder + file.path("name").asText();
    HeadObjectResponse now = head(key);
    if (now != null && now.contentLength() == file.path("bytes").asLong()) {
      return;
    }
    HeadObjectResponse markerNow = head(marker.key());
    boolean stands = markerNow != null && markerNow.eTag().equals(marker.eTag());
    if (stands && reported.add(marker.key() + marker.eTag() + key)) {
      violations++;
      ObjectNode line = JSON.createObjectNode().put("type", "violation");
      line.put("marker", marker.key()).put("file", key);
      line.put("etag", marker.eTag()).put("milliseconds", System.currentTimeMillis());
      out.println(line.put("found", now == null ? "nothing" : now.contentLength() + " bytes"));
    }
  }

  private JsonNode content(S3Object marker) throws IOException {
    JsonNode known = markers.get(identity(marker));
    if (known == null) {
      try {
        known =
            JSON.readTree(
                tree.client
                    .getObjectAsBytes(
                        request -> request.bucket(tree.bucket).key(marker.key()))
                    .asByteArray());
      } catch (NoSuchKeyException gone) {
        return null;
      }
      markers.put(identity(marker), known);
    }
    return known;
  }

  private HeadObjectResponse head(String key) {
    try {
      return tree.client.headObject(request -> request.bucket(tree.bucket).key(key));
    } catch (NoSuchKeyException gone) {
      return null;
    }
  }
}
