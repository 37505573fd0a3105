package whimbrel.testbed.churn;

import java.util.TreeMap;
import org.apache.hadoop.fs.Path;

/** A file or directory as the generator believes it to be; its path follows every rename. */
final class Node {
  String name;
  Node parent;
  /** Children by name, or null for a file. */
  final TreeMap<String, Node> children;
  long length;
  /** Something is under way on the file, so that no other operation may touch its content. */
  boolean busy;
  /** Place in the list of files or of directories to choose from; -1 once it is gone. */
  int position = -1;

  private final Path absolute;

  private Node(String name, boolean directory, Path absolute) {
    this.name = name;
    this.children = directory ? new TreeMap<>() : null;
    this.absolute = absolute;
  }

  static Node file(String name, long length) {
    Node node = new Node(name, false, null);
    node.length = length;
    return node;
  }

  static Node directory(String name) {
    return new Node(name, true, null);
  }

  static Node root(Path path) {
    return new Node("", true, path);
  }

  boolean isDirectory() {
    return children != null;
  }

  boolean isRoot() {
    return absolute != null;
  }

  Path path() {
    return isRoot() ? absolute : new Path(parent.path() + "/" + name);
  }

  boolean isUnder(Node ancestor) {
    for (Node node = this; node != null; node = node.parent) {
      if (node == ancestor) {
        return true;
      }
    }
    return false;
  }

  /** Files and directories in this tree, itself included, counted up to the limit. */
  int size(int limit) {
    int size = 1;
    if (children != null) {
      for (Node child : children.values()) {
        if (size > limit) {
          break;
        }
        size += child.size(limit - size);
      }
    }
    return size;
  }
}
