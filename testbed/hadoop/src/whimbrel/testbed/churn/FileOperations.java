package whimbrel.testbed.churn;

import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.Path;
import whimbrel.testbed.Content;

/** What happens to the contents of files. */
final class FileOperations {
  private static final int BLOCK_BYTES = 1 << 20;

  private final Tools tools;
  private final Model model;
  private final Random random;
  private final ArrayDeque<Worker.Continuation> continuations;

  FileOperations(
      Tools tools, Model model, Random random, ArrayDeque<Worker.Continuation> continuations) {
    this.tools = tools;
    this.model = model;
    this.random = random;
    this.continuations = continuations;
  }

  boolean create() throws IOException {
    Node parent = model.directory(random);
    Node node = Node.file(tools.name("f", random), Tools.length(random));
    tools.write(new Path(parent.path() + "/" + node.name), random.nextLong(), (int) node.length);
    model.add(parent, node);
    return true;
  }

  boolean append() throws IOException {
    Node node = model.file(random);
    if (node == null) {
      return false;
    }
    int length = Tools.length(random);
    tools.append(node.path(), random.nextLong(), length);
    node.length += length;
    return true;
  }

  boolean overwrite() throws IOException {
    Node node = model.file(random);
    if (node == null) {
      return false;
    }
    int length = Tools.length(random);
    tools.write(node.path(), random.nextLong(), length);
    node.length = length;
    return true;
  }

  /** Length and time as before, other bytes. */
  boolean rewriteSameSize() throws IOException {
    Node node = model.file(random);
    if (node == null) {
      return false;
    }
    FileStatus before = tools.status(node.path());
    tools.write(node.path(), random.nextLong(), (int) node.length);
    tools.setTimesAsIn(node.path(), before);
    return true;
  }

  boolean delete() throws IOException {
    Node node = model.file(random);
    if (node == null || model.files() < 50) {
      return false;
    }
    tools.client.delete(node.path(), false);
    model.remove(node);
    return true;
  }

  /** The same path again at once, at times of the same length. */
  boolean deleteRecreate() throws IOException {
    Node node = model.file(random);
    if (node == null) {
      return false;
    }
    int length = random.nextBoolean() ? (int) node.length : Tools.length(random);
    tools.client.delete(node.path(), false);
    tools.write(node.path(), random.nextLong(), length);
    node.length = length;
    return true;
  }

  /** Cuts a piece off, appends as much and sets the time back: length and time as before. */
  boolean truncateAppend() throws IOException {
    Node node = model.file(random, file -> file.length > 100);
    if (node == null) {
      return false;
    }
    FileStatus before = tools.status(node.path());
    long seed = random.nextLong();
    int cut = 1 + random.nextInt((int) Math.min(node.length - 1, 5000));
    truncate(
        node,
        node.length - cut,
        () -> {
          tools.append(node.path(), seed, cut);
          node.length += cut;
          tools.setTimesAsIn(node.path(), before);
        });
    return true;
  }

  boolean truncateUnaligned() throws IOException {
    Node node = model.file(random, file -> file.length > 100);
    if (node == null) {
      return false;
    }
    truncate(node, 1 + random.nextInt((int) node.length - 1), () -> {});
    return true;
  }

  /** At a block's end, or to nothing: no recovery follows, and no CLOSE. */
  boolean truncateAligned() throws IOException {
    Node node = model.file(random, file -> file.length > BLOCK_BYTES);
    if (node == null) {
      node = model.file(random, file -> file.length > 0);
    }
    if (node == null) {
      return false;
    }
    long blocks = (node.length - 1) / BLOCK_BYTES;
    truncate(node, blocks == 0 ? 0 : (1 + random.nextInt((int) blocks)) * (long) BLOCK_BYTES,
        () -> {});
    return true;
  }

  private interface Step {
    void run() throws IOException;
  }

  /** An unaligned truncation ends when the last block was recovered, seconds later. */
  private void truncate(Node node, long length, Step then) throws IOException {
    boolean done = tools.client.truncate(node.path(), length);
    node.length = length;
    if (done) {
      then.run();
      return;
    }
    node.busy = true;
    continuations.add(
        last -> {
          if (node.position < 0) {
            return true;
          }
          if (!tools.client.isFileClosed(node.path())) {
            return false;
          }
          node.busy = false;
          then.run();
          return true;
        });
  }

  boolean concat() throws IOException {
    Node parent = model.directory(random, directory -> sources(directory).size() >= 3);
    if (parent == null) {
      return false;
    }
    List<Node> nodes = sources(parent);
    Node target = nodes.remove(random.nextInt(nodes.size()));
    List<Node> chosen = nodes.subList(0, 1 + random.nextInt(Math.min(nodes.size(), 3)));
    tools.client.concat(
        target.path(), chosen.stream().map(Node::path).toArray(Path[]::new));
    for (Node source : new ArrayList<>(chosen)) {
      target.length += source.length;
      model.remove(source);
    }
    return true;
  }

  private static List<Node> sources(Node directory) {
    List<Node> nodes = new ArrayList<>();
    for (Node child : directory.children.values()) {
      if (!child.isDirectory() && !child.busy && child.length > 0) {
        nodes.add(child);
      }
    }
    return nodes;
  }

  /** Writes, flushes, and closes later; the file may be renamed or deleted meanwhile. */
  boolean hflush() throws IOException {
    Node parent = model.directory(random);
    Node node = Node.file(tools.name("open", random), 0);
    FSDataOutputStream out = tools.create(new Path(parent.path() + "/" + node.name));
    node.busy = true;
    model.add(parent, node);
    byte[] first = Content.bytes(random.nextLong(), 1 + Tools.length(random));
    byte[] second = Content.bytes(random.nextLong(), Tools.length(random));
    out.write(first);
    out.hflush();
    long closing = System.nanoTime() + random.nextInt(5_000) * 1_000_000L;
    continuations.add(
        last -> {
          if (!last && System.nanoTime() < closing) {
            return false;
          }
          try {
            out.write(second);
            out.close();
          } catch (IOException failure) {
            if (node.position >= 0) {
              throw failure;
            }
          }
          node.length = first.length + second.length;
          node.busy = false;
          return true;
        });
    return true;
  }
}
