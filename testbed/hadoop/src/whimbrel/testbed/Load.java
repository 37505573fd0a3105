package whimbrel.testbed;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.DistributedFileSystem;

/** Writes many files fast; a seed decides their names, sizes and contents. */
final class Load {
  private Load() {}

  /**
   * {@code count} files, spread evenly over {@code directories} folders {@code dNNNNN} below
   * {@code directory}; all of {@code bytes} length, or log-normal by {@code median_bytes},
   * {@code sigma} and {@code maximum_bytes}.
   */
  static void run(Cluster cluster, JsonNode request, ObjectNode answer) throws Exception {
    int count = request.path("count").asInt(100);
    int threads = Math.min(request.path("threads").asInt(8), Math.max(count, 1));
    long startNanos = System.nanoTime();
    ExecutorService pool = Executors.newFixedThreadPool(threads);
    List<Future<Long>> parts = new ArrayList<>();
    for (int thread = 0; thread < threads; thread++) {
      int first = thread;
      parts.add(pool.submit(() -> write(cluster, request, count, first, threads)));
    }
    long bytes = 0;
    for (Future<Long> part : parts) {
      bytes += part.get();
    }
    pool.shutdown();
    answer.put("files", count).put("bytes", bytes);
    answer.put("seconds", (System.nanoTime() - startNanos) / 1e9);
  }

  private static long write(Cluster cluster, JsonNode request, int count, int first, int step)
      throws Exception {
    String directory = request.path("directory").asText();
    int directories = Math.max(request.path("directories").asInt(1), 1);
    long seed = request.path("seed").asLong(1);
    short replication = (short) request.path("replication").asInt(1);
    long total = 0;
    try (DistributedFileSystem client = cluster.client()) {
      for (int index = first; index < count; index += step) {
        long fileSeed = seed * 1_000_003L + index;
        int length = length(request, fileSeed);
        String folder =
            directories == 1
                ? directory
                : directory + String.format("/d%05d", index % directories);
        Path path = new Path(folder + String.format("/f%07d", index));
        try (OutputStream out =
            client.create(path, true, 65536, replication, client.getDefaultBlockSize(path))) {
          out.write(Content.bytes(fileSeed, length));
        }
        total += length;
      }
    }
    return total;
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
