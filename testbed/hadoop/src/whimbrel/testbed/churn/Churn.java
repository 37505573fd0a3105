package whimbrel.testbed.churn;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RemoteIterator;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.protocol.OpenFileEntry;
import org.apache.hadoop.hdfs.protocol.OpenFilesIterator.OpenFilesType;

/**
 * Changes a directory in every way that HDFS has. Each worker owns every n-th child of the
 * directory and a random generator, so a seed decides what each does, in which order; only how the
 * workers interleave is left to the machine.
 */
public final class Churn {
  /** Makes one client; each worker has its own, since a lease belongs to a client. */
  public interface Clients {
    DistributedFileSystem open() throws IOException;
  }

  /** How often a standby NameNode has the edits rolled (dfs.ha.log-roll.period). */
  private static final long ROLL_MILLISECONDS = 120_000;

  private final Path directory;
  private final Clients clients;
  private final List<Thread> threads = new ArrayList<>();
  private final List<Worker> workers = new ArrayList<>();
  private final long startNanos = System.nanoTime();
  private volatile long endNanos;

  private Churn(Path directory, Clients clients) {
    this.directory = directory;
    this.clients = clients;
  }

  /**
   * Starts in the background. {@code directory} is what to change; {@code seed}; {@code
   * operations_per_second} of all {@code threads} together; {@code seconds}; {@code replication}
   * of new files.
   */
  public static Churn start(JsonNode request, Clients clients) throws IOException {
    Path directory = new Path(request.path("directory").asText());
    int count = request.path("threads").asInt(8);
    double rate = request.path("operations_per_second").asDouble(300) / count;
    long seconds = request.path("seconds").asLong(60);
    long seed = request.path("seed").asLong(1);
    short replication = (short) request.path("replication").asInt(1);
    Churn churn = new Churn(directory, clients);
    Path outside = new Path("/outside-" + directory.getName());
    try (DistributedFileSystem client = clients.open()) {
      client.mkdirs(directory);
      client.mkdirs(outside);
      FileStatus[] children = client.listStatus(directory);
      Arrays.sort(children, Comparator.comparing(child -> child.getPath().getName()));
      for (int index = 0; index < count; index++) {
        Model model = new Model(Node.root(directory));
        for (int child = index; child < children.length; child += count) {
          read(client, model, model.root, children[child]);
        }
        Tools tools = new Tools(clients.open(), replication, outside, index);
        churn.workers.add(new Worker(tools, model, seed * 1009 + index));
      }
    }
    churn.endNanos = System.nanoTime() + seconds * 1_000_000_000L;
    Thread rolling = new Thread(churn::rollEdits, "roll-edits");
    rolling.setDaemon(true);
    rolling.start();
    for (Worker worker : churn.workers) {
      Thread thread = new Thread(() -> worker.run(rate, () -> churn.endNanos), "churn");
      thread.setDaemon(true);
      thread.start();
      churn.threads.add(thread);
    }
    return churn;
  }

  /**
   * A NameNode reads its open segment from the beginning for each look at the stream, and none that
   * has a standby leaves one open for long. What was there before the churn lies in older ones.
   */
  private void rollEdits() {
    try (DistributedFileSystem client = clients.open()) {
      while (System.nanoTime() < endNanos) {
        try {
          client.rollEdits();
        } catch (IOException unavailable) {
          System.err.println("edits are not rolled now: " + unavailable.getMessage());
        }
        Thread.sleep(ROLL_MILLISECONDS);
      }
    } catch (IOException | InterruptedException end) {
      System.err.println("edits are not rolled any more: " + end.getMessage());
    }
  }

  private static void read(
      DistributedFileSystem client, Model model, Node parent, FileStatus status)
      throws IOException {
    String name = status.getPath().getName();
    if (!status.isDirectory()) {
      model.add(parent, Node.file(name, status.getLen()));
      return;
    }
    Node node = Node.directory(name);
    model.add(parent, node);
    FileStatus[] children = client.listStatus(status.getPath());
    Arrays.sort(children, Comparator.comparing(child -> child.getPath().getName()));
    for (FileStatus child : children) {
      read(client, model, node, child);
    }
  }

  /** Ends the program early. */
  public void stop() {
    endNanos = System.nanoTime();
  }

  public boolean isRunning() {
    return threads.stream().anyMatch(Thread::isAlive);
  }

  /** Waits for the end, closes every file below the directory, and says what was done. */
  public void await(ObjectNode answer) throws Exception {
    for (Thread thread : threads) {
      thread.join();
    }
    double seconds = (System.nanoTime() - startNanos) / 1e9;
    Map<String, Long> counts = new TreeMap<>();
    List<String> failures = new ArrayList<>();
    long failed = 0;
    for (Worker worker : workers) {
      worker.counts().forEach((name, count) -> counts.merge(name, count, Long::sum));
      failures.addAll(worker.failures());
      failed += worker.failed();
      worker.close();
    }
    closeAll();
    long total = counts.values().stream().mapToLong(Long::longValue).sum();
    ObjectNode operations = answer.putObject("operations");
    counts.forEach(operations::put);
    answer.put("operations_total", total).put("seconds", seconds);
    answer.put("operations_per_second", total / seconds).put("failed", failed);
    failures.stream().limit(20).forEach(answer.putArray("failures")::add);
  }

  /** Lease recovery closes what a failed operation left open. */
  private void closeAll() throws Exception {
    try (DistributedFileSystem client = clients.open()) {
      long deadline = System.nanoTime() + 120_000_000_000L;
      while (recover(client) > 0) {
        if (System.nanoTime() > deadline) {
          throw new IOException("files below " + directory + " stay open");
        }
        Thread.sleep(500);
      }
    }
  }

  private int recover(DistributedFileSystem client) throws IOException {
    RemoteIterator<OpenFileEntry> open =
        client.listOpenFiles(EnumSet.of(OpenFilesType.ALL_OPEN_FILES), directory + "/");
    int count = 0;
    while (open.hasNext()) {
      String path = open.next().getFilePath();
      count++;
      retry(() -> client.recoverLease(new Path(path)));
    }
    return count;
  }

  private static void retry(Callable<Boolean> call) {
    try {
      call.call();
    } catch (Exception stillBeingRecovered) {
      // The next round looks again.
    }
  }
}
