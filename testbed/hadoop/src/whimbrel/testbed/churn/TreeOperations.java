package whimbrel.testbed.churn;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.hadoop.fs.Options.Rename;
import org.apache.hadoop.fs.Path;

/** What happens to places in the tree. */
final class TreeOperations {
  private final Tools tools;
  private final Model model;
  private final Random random;

  TreeOperations(Tools tools, Model model, Random random) {
    this.tools = tools;
    this.model = model;
    this.random = random;
  }

  boolean mkdirs() throws IOException {
    Node parent = model.directory(random);
    int depth = 1 + random.nextInt(3);
    Path path = parent.path();
    for (int level = 0; level < depth; level++) {
      Node node = Node.directory(tools.name("d", random));
      model.add(parent, node);
      parent = node;
      path = new Path(path + "/" + node.name);
    }
    tools.client.mkdirs(path);
    return true;
  }

  boolean renameFile() throws IOException {
    Node node = model.file(random);
    if (node == null) {
      return false;
    }
    Node parent = random.nextBoolean() ? node.parent : model.directory(random);
    move(node, parent, tools.name("r", random));
    return true;
  }

  boolean renameOver() throws IOException {
    Node node = model.file(random);
    Node over = model.file(random);
    if (node == null || over == null || node == over) {
      return false;
    }
    tools.client.rename(node.path(), over.path(), Rename.OVERWRITE);
    model.move(node, over.parent, over.name);
    return true;
  }

  /** The old call takes a directory as the destination to mean a place in it. */
  boolean renameIntoDirectory() throws IOException {
    Node node = model.file(random);
    Node parent = model.directory(random);
    if (node == null || parent.isRoot() || parent.children.containsKey(node.name)) {
      return false;
    }
    tools.rename(node.path(), parent.path());
    model.move(node, parent, node.name);
    return true;
  }

  boolean renameDirectory() throws IOException {
    Node node = model.directory(random, directory -> true);
    if (node == null) {
      return false;
    }
    Node parent = random.nextBoolean() ? node.parent : model.directory(random);
    if (parent.isUnder(node)) {
      return false;
    }
    move(node, parent, tools.name("m", random));
    return true;
  }

  boolean swapDirectories() throws IOException {
    Node one = model.directory(random, directory -> true);
    Node two = model.directory(random, directory -> true);
    if (one == null || two == null || one.isUnder(two) || two.isUnder(one)) {
      return false;
    }
    Node firstParent = one.parent;
    String firstName = one.name;
    Node secondParent = two.parent;
    String secondName = two.name;
    move(one, firstParent, tools.name("swap", random));
    move(two, firstParent, firstName);
    move(one, secondParent, secondName);
    return true;
  }

  /** Renames a directory away and makes another in its old place, with files in it. */
  boolean replaceDirectory() throws IOException {
    Node node = model.directory(random, directory -> true);
    if (node == null) {
      return false;
    }
    Node parent = node.parent;
    String name = node.name;
    move(node, parent, tools.name("old", random));
    Node fresh = Node.directory(name);
    tools.client.mkdirs(new Path(parent.path() + "/" + name));
    model.add(parent, fresh);
    List<String> names = new ArrayList<>();
    node.children.forEach(
        (childName, child) -> {
          if (!child.isDirectory()) {
            names.add(childName);
          }
        });
    for (String child : names.subList(0, Math.min(names.size(), 3))) {
      Node file = Node.file(child, Tools.length(random));
      tools.write(new Path(fresh.path() + "/" + child), random.nextLong(), (int) file.length);
      model.add(fresh, file);
    }
    return true;
  }

  boolean deleteTree() throws IOException {
    Node node = model.directory(random, directory -> directory.size(100) < 100);
    if (node == null || model.files() < 100) {
      return false;
    }
    tools.client.delete(node.path(), true);
    model.remove(node);
    return true;
  }

  /** A file where a directory was. */
  boolean directoryToFile() throws IOException {
    Node node = model.directory(random, directory -> directory.size(20) < 20);
    if (node == null || model.files() < 100) {
      return false;
    }
    Path path = node.path();
    Node parent = node.parent;
    tools.client.delete(path, true);
    model.remove(node);
    Node file = Node.file(node.name, Tools.length(random));
    tools.write(path, random.nextLong(), (int) file.length);
    model.add(parent, file);
    return true;
  }

  /** Out of the scope, in which nothing is seen of it, and back to another place. */
  boolean leaveAndReturn() throws IOException {
    Node node = model.directory(random, directory -> directory.size(200) < 200);
    if (node == null) {
      return false;
    }
    Path away = new Path(tools.outside + "/" + tools.name("away", random));
    tools.rename(node.path(), away);
    Node parent = node.parent;
    String name = random.nextBoolean() ? node.name : tools.name("back", random);
    tools.rename(away, new Path(parent.path() + "/" + name));
    model.move(node, parent, name);
    return true;
  }

  private void move(Node node, Node parent, String name) throws IOException {
    tools.rename(node.path(), new Path(parent.path() + "/" + name));
    model.move(node, parent, name);
  }
}
