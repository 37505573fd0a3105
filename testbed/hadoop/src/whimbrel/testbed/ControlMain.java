package whimbrel.testbed;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.LinkedBlockingQueue;
import org.apache.hadoop.fs.FileUtil;

/**
 * Starts a cluster, says on standard output when it is ready, then answers each line of JSON on
 * standard input with one line of JSON. The end of standard input ends the process at once, so
 * that the cluster dies with the test that started it, however that test dies.
 *
 * <p>{@code ControlMain --base-directory DIR [--high-availability] [--data-nodes N]
 * [-Dkey=value]...}
 */
public final class ControlMain {
  static final ObjectMapper JSON = new ObjectMapper();

  private ControlMain() {}

  public static void main(String[] arguments) throws Exception {
    PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    System.setOut(System.err);
    Map<String, String> settings = new LinkedHashMap<>();
    File baseDirectory = null;
    boolean highAvailability = false;
    int dataNodes = 3;
    for (int index = 0; index < arguments.length; index++) {
      String argument = arguments[index];
      if (argument.startsWith("-D")) {
        String[] pair = argument.substring(2).split("=", 2);
        settings.put(pair[0], pair[1]);
      } else if (argument.equals("--high-availability")) {
        highAvailability = true;
      } else if (argument.equals("--data-nodes")) {
        dataNodes = Integer.parseInt(arguments[++index]);
      } else if (argument.equals("--base-directory")) {
        baseDirectory = new File(arguments[++index]).getAbsoluteFile();
      } else {
        throw new IllegalArgumentException("unknown argument " + argument);
      }
    }
    if (baseDirectory == null) {
      throw new IllegalArgumentException("--base-directory is missing");
    }
    LinkedBlockingQueue<Optional<String>> lines = readLines(baseDirectory);
    Cluster cluster = Cluster.start(baseDirectory, highAvailability, dataNodes, settings);
    answers.println(JSON.writeValueAsString(cluster.describe()));
    serve(new Commands(cluster), lines, answers);
    cluster.close();
    end(baseDirectory);
  }

  private static void serve(
      Commands commands, LinkedBlockingQueue<Optional<String>> lines, PrintStream answers)
      throws Exception {
    while (true) {
      String line = lines.take().orElseThrow();
      if (line.isBlank()) {
        continue;
      }
      ObjectNode answer = JSON.createObjectNode();
      boolean last = false;
      try {
        JsonNode request = JSON.readTree(line);
        last = request.path("command").asText().equals("shutdown");
        if (!last) {
          answer = commands.run(request);
        }
        answer.put("ok", true);
      } catch (Throwable failure) {
        StringWriter trace = new StringWriter();
        failure.printStackTrace(new PrintWriter(trace));
        answer.put("ok", false).put("error", failure.toString()).put("trace", trace.toString());
      }
      answers.println(JSON.writeValueAsString(answer));
      if (last) {
        return;
      }
    }
  }

  /** Reads on a thread of its own: a command that hangs must not hide the end of the input. */
  private static LinkedBlockingQueue<Optional<String>> readLines(File baseDirectory) {
    LinkedBlockingQueue<Optional<String>> lines = new LinkedBlockingQueue<>();
    BufferedReader input =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    Thread reader =
        new Thread(
            () -> {
              try {
                for (String line = input.readLine(); line != null; line = input.readLine()) {
                  lines.add(Optional.of(line));
                }
              } catch (Exception failure) {
                System.err.println("standard input failed: " + failure);
              }
              end(baseDirectory);
            },
            "standard-input");
    reader.setDaemon(true);
    reader.start();
    return lines;
  }

  /** A halt skips the shutdown hooks: nothing here is worth saving, and hooks can hang. */
  private static void end(File baseDirectory) {
    FileUtil.fullyDelete(baseDirectory);
    Runtime.getRuntime().halt(0);
  }

  static List<String> texts(JsonNode array) {
    List<String> texts = new ArrayList<>();
    array.forEach(element -> texts.add(element.asText()));
    return texts;
  }
}
