package whimbrel.testbed.churn;

import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.LongSupplier;

/** One thread of the generator: draws operations by weight and carries them out. */
final class Worker {
  /** Does one thing; false when the tree has nothing to do it with. */
  interface Operation {
    boolean run() throws IOException;
  }

  /** Something to finish later; true once it is done. */
  interface Continuation {
    boolean run(boolean last) throws IOException;
  }

  private record Weighted(String name, int weight, Operation operation) {}

  private final Tools tools;
  private final Model model;
  private final Random random;
  private final List<Weighted> operations = new ArrayList<>();
  private final ArrayDeque<Continuation> continuations = new ArrayDeque<>();
  private final Map<String, Long> counts = new LinkedHashMap<>();
  private final List<String> failures = new ArrayList<>();
  private int weights;
  private long failed;

  Worker(Tools tools, Model model, long seed) {
    this.tools = tools;
    this.model = model;
    this.random = new Random(seed);
    FileOperations files = new FileOperations(tools, model, random, continuations);
    TreeOperations trees = new TreeOperations(tools, model, random);
    MetadataOperations metadata = new MetadataOperations(tools, model, random);
    Jobs jobs = new Jobs(tools, model, random);
    add("create", 18, files::create);
    add("append", 7, files::append);
    add("overwrite", 6, files::overwrite);
    add("rewrite_same_size", 4, files::rewriteSameSize);
    add("truncate_append", 3, files::truncateAppend);
    add("truncate_aligned", 2, files::truncateAligned);
    add("truncate_unaligned", 2, files::truncateUnaligned);
    add("concat", 2, files::concat);
    add("hflush", 3, files::hflush);
    add("delete", 7, files::delete);
    add("delete_recreate", 2, files::deleteRecreate);
    add("rename_file", 9, trees::renameFile);
    add("rename_over", 3, trees::renameOver);
    add("rename_into_directory", 1, trees::renameIntoDirectory);
    add("rename_directory", 3, trees::renameDirectory);
    add("swap_directories", 1, trees::swapDirectories);
    add("replace_directory", 1, trees::replaceDirectory);
    add("delete_tree", 1, trees::deleteTree);
    add("directory_to_file", 1, trees::directoryToFile);
    add("leave_and_return", 1, trees::leaveAndReturn);
    add("mkdirs", 3, trees::mkdirs);
    add("set_times", 4, metadata::setTimes);
    add("chmod", 4, metadata::chmod);
    add("chown", 3, metadata::chown);
    add("acl", 3, metadata::acl);
    add("xattr", 2, metadata::xattr);
    add("job", 1, jobs::commit);
  }

  private void add(String name, int weight, Operation operation) {
    operations.add(new Weighted(name, weight, operation));
    weights += weight;
  }

  /** Until the end, at the rate; then finishes what is open. */
  void run(double operationsPerSecond, LongSupplier endNanos) {
    long start = System.nanoTime();
    long done = 0;
    while (System.nanoTime() < endNanos.getAsLong()) {
      long due = start + (long) (done * 1e9 / operationsPerSecond);
      long wait = due - System.nanoTime();
      if (wait > 0) {
        sleep(Math.min(wait, 50_000_000L));
        continue;
      }
      done++;
      step();
      if (done % 8 == 0) {
        continueOldest(false);
      }
    }
    long deadline = System.nanoTime() + 60_000_000_000L;
    while (!continuations.isEmpty() && System.nanoTime() < deadline) {
      continueOldest(true);
      sleep(20_000_000L);
    }
  }

  private void step() {
    int draw = random.nextInt(weights);
    for (Weighted weighted : operations) {
      draw -= weighted.weight();
      if (draw < 0) {
        try {
          if (weighted.operation().run()) {
            counts.merge(weighted.name(), 1L, Long::sum);
          }
        } catch (IOException failure) {
          fail(weighted.name(), failure);
        }
        return;
      }
    }
  }

  private void continueOldest(boolean last) {
    Continuation oldest = continuations.poll();
    if (oldest == null) {
      return;
    }
    try {
      if (!oldest.run(last)) {
        continuations.add(oldest);
      }
    } catch (IOException failure) {
      fail("continuation", failure);
    }
  }

  private void fail(String name, IOException failure) {
    failed++;
    if (failures.size() < 20) {
      String text = failure.toString();
      failures.add(name + ": " + text.substring(0, Math.min(text.length(), 300)));
    }
  }

  private static void sleep(long nanos) {
    try {
      Thread.sleep(nanos / 1_000_000, (int) (nanos % 1_000_000));
    } catch (InterruptedException interruption) {
      Thread.currentThread().interrupt();
    }
  }

  Map<String, Long> counts() {
    return counts;
  }

  List<String> failures() {
    return failures;
  }

  long failed() {
    return failed;
  }

  void close() throws IOException {
    tools.client.close();
  }
}
