package whimbrel.testbed.churn;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.hadoop.fs.Path;

/**
 * Directories that a job writes and commits with {@code _SUCCESS}. Its content lists the job's
 * files with their lengths and the time of the commit, so that a reader of a copy can tell by that
 * copy alone whether the commit came too early. The directories are in no model, so nothing else
 * changes them.
 */
final class Jobs {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Tools tools;
  private final Random random;
  private final Path folder;
  private final List<String> written = new ArrayList<>();
  private long commits;

  Jobs(Tools tools, Model model, Random random) {
    this.tools = tools;
    this.random = random;
    this.folder = new Path(model.root.path() + "/jobs-" + tools.worker);
  }

  /** A new directory, or an old one that is deleted first. */
  boolean commit() throws IOException {
    String name;
    if (written.isEmpty() || random.nextInt(3) > 0) {
      name = "job-" + written.size();
      written.add(name);
    } else {
      name = written.get(random.nextInt(written.size()));
      tools.client.delete(new Path(folder + "/" + name), true);
    }
    Path directory = new Path(folder + "/" + name);
    boolean staged = random.nextBoolean();
    Path staging = staged ? new Path(directory + "/_temporary/0") : directory;
    tools.client.mkdirs(staging);
    ObjectNode content = JSON.createObjectNode();
    content.put("job", tools.worker + "-" + commits++);
    ArrayNode files = content.putArray("files");
    int count = 1 + random.nextInt(6);
    for (int index = 0; index < count; index++) {
      String file = String.format("part-%05d", index);
      int length = Tools.length(random);
      tools.write(new Path(staging + "/" + file), random.nextLong(), length);
      files.addObject().put("name", file).put("bytes", length);
    }
    if (staged) {
      for (int index = 0; index < count; index++) {
        String file = String.format("/part-%05d", index);
        tools.rename(new Path(staging + file), new Path(directory + file));
      }
      tools.client.delete(new Path(directory + "/_temporary"), true);
    }
    content.put("committed_milliseconds", System.currentTimeMillis());
    try (OutputStream out = tools.create(new Path(directory + "/_SUCCESS"))) {
      out.write(JSON.writeValueAsBytes(content));
    }
    return true;
  }
}
