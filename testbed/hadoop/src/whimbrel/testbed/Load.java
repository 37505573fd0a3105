package whimbrel.testbed;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.zip.CRC32C;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.DistributedFileSystem;

/** Writes many files fast; a seed decides their names, sizes and contents. */
final class Load {
  private Load() {}

  /**
   * {@code count} files, spread evenly over {@code directories} folders {@code dNNNNN} below
   * {@code directory}; all of {@code bytes} length, or log-normal by {@code median_bytes},
   * {@code sigma} and {@code maximum_bytes}. What was written is told, a line each, in the local
   * file {@code manifest}, if one is named.
   */
  static void run(Cluster cluster, JsonNode request, ObjectNode answer) throws Exception {
    int count = request.path("count").asInt(100);
    int threads = Math.min(request.path("threads").asInt(8), Math.max(count, 1));
    long startNanos = System.nanoTime();
    ExecutorService pool = Executors.newFixedThreadPool(threads);
    List<Future<Part>> parts = new ArrayList<>();
    for (int thread = 0; thread < threads; thread++) {
      int first = thread;
      parts.add(pool.submit(() -> write(cluster, request, count, first, threads)));
    }
    long bytes = 0;
    StringBuilder manifest = new StringBuilder();
    for (Future<Part> part : parts) {
      bytes += part.get().bytes;
      manifest.append(part.get().manifest);
    }
    pool.shutdown();
    if (request.hasNonNull("manifest")) {
      java.nio.file.Path file = java.nio.file.Path.of(request.path("manifest").asText());
      Files.writeString(file, manifest, StandardCharsets.UTF_8);
    }
    answer.put("files", count).put("bytes", bytes);
    answer.put("seconds", (System.nanoTime() - startNanos) / 1e9);
  }

  /** What one thread wrote. */
  private record Part(long bytes, StringBuilder manifest) {}

  private static Part write(Cluster cluster, JsonNode request, int count, int first, int step)
      throws Exception {
    String directory = request.path("directory").asText();
    int directories = Math.max(request.path("directories").asInt(1), 1);
    long seed = request.path("seed").asLong(1);
    short replication = (short) request.path("replication").asInt(1);
    long total = 0;
    StringBuilder manifest = new StringBuilder();
    try (DistributedFileSystem client = cluster.client()) {
      for (int index = first; index < count; index += step) {
        long fileSeed = seed * 1_000_003L + index;
        int length = length(request, fileSeed);
        String folder = directories == 1 ? "" : String.format("/d%05d", index % directories);
        String name = folder + String.format("/f%07d", index);
        Path path = new Path(directory + name);
        byte[] content = Content.bytes(fileSeed, length);
        CRC32C crc = new CRC32C();
        crc.update(content);
        manifest.append(String.format("%08x %d %s%n", crc.getValue(), length, name.substring(1)));
        try (OutputStream out =
            client.create(path, true, 65536, replication, client.getDefaultBlockSize(path))) {
          out.write(content);
        }
        total += length;
      }
    }
    return new Part(total, manifest);
  }

  private static int length(JsonNode request, long fileSeed) {
    if (request.hasNonNull("bytes")) {
      return request.path("bytes").asInt();
    }
    return Content.logNormalBytes(
        new Random(fileSeed),
        request.path("median_bytes").asDouble(20_000),
        request.path("sigma").asDouble(1.3),
        request.path("maximum_bytes").asInt(8 << 20));
  }
}
