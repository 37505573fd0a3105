package whimbrel.testbed.churn;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.Predicate;

/** The tree that one worker owns, with quick random choice among its files and directories. */
final class Model {
  private static final int ATTEMPTS = 20;

  final Node root;
  private final List<Node> files = new ArrayList<>();
  private final List<Node> directories = new ArrayList<>();

  Model(Node root) {
    this.root = root;
  }

  int files() {
    return files.size();
  }

  void add(Node parent, Node node) {
    node.parent = parent;
    parent.children.put(node.name, node);
    register(node);
  }

  /** Takes a tree out of the model. */
  void remove(Node node) {
    node.parent.children.remove(node.name);
    unregister(node);
  }

  /** Gives a node another place, over whatever has that place in the model. */
  void move(Node node, Node parent, String name) {
    node.parent.children.remove(node.name);
    Node replaced = parent.children.get(name);
    if (replaced != null) {
      remove(replaced);
    }
    node.name = name;
    node.parent = parent;
    parent.children.put(name, node);
  }

  /** A file that nothing is under way on, or null. */
  Node file(Random random) {
    return file(random, node -> true);
  }

  Node file(Random random, Predicate<Node> wanted) {
    return choose(files, random, node -> !node.busy && wanted.test(node));
  }

  /** A directory, the root at times. */
  Node directory(Random random) {
    Node chosen = choose(directories, random, node -> true);
    return chosen == null || random.nextInt(10) == 0 ? root : chosen;
  }

  /** A directory other than the root, or null. */
  Node directory(Random random, Predicate<Node> wanted) {
    return choose(directories, random, wanted);
  }

  private static Node choose(List<Node> nodes, Random random, Predicate<Node> wanted) {
    for (int attempt = 0; attempt < ATTEMPTS && !nodes.isEmpty(); attempt++) {
      Node node = nodes.get(random.nextInt(nodes.size()));
      if (wanted.test(node)) {
        return node;
      }
    }
    return null;
  }

  private void register(Node node) {
    List<Node> list = node.isDirectory() ? directories : files;
    node.position = list.size();
    list.add(node);
    if (node.isDirectory()) {
      node.children.values().forEach(this::register);
    }
  }

  private void unregister(Node node) {
    List<Node> list = node.isDirectory() ? directories : files;
    Node last = list.remove(list.size() - 1);
    if (last != node) {
      list.set(node.position, last);
      last.position = node.position;
    }
    node.position = -1;
    if (node.isDirectory()) {
      node.children.values().forEach(this::unregister);
    }
  }
}
