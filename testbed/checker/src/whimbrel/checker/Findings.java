package whimbrel.checker;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.PrintStream;
import java.util.Map;
import java.util.TreeMap;

/** Writes each difference as a line, and a summary of all that was counted. */
final class Findings {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final PrintStream out;
  private final Map<String, Long> counts = new TreeMap<>();
  private long differences;

  Findings(PrintStream out) {
    this.out = out;
  }

  void count(String name) {
    count(name, 1);
  }

  synchronized void count(String name, long number) {
    counts.merge(name, number, Long::sum);
  }

  synchronized void differ(String path, String kind, String detail) {
    differences++;
    count("different_" + kind);
    ObjectNode line = JSON.createObjectNode();
    line.put("type", "difference").put("path", path).put("kind", kind).put("detail", detail);
    out.println(line);
  }

  /** True if nothing differed. */
  synchronized boolean summarize() {
    ObjectNode line = JSON.createObjectNode().put("type", "summary");
    counts.forEach(line::put);
    line.put("differences", differences).put("equal", differences == 0);
    out.println(line);
    return differences == 0;
  }
}
