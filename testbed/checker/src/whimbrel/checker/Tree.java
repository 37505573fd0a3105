package whimbrel.checker;

import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.util.NavigableMap;

/** One side of a comparison. */
interface Tree {
  /** What a path is. A marker is an object whose key ends in a slash. */
  enum Kind {
    FILE,
    /** A file that somebody is writing. */
    OPEN_FILE,
    DIRECTORY,
    /** Not a file, not a directory: nothing that can be copied. */
    OTHER
  }

  /**
   * One path relative to the root, without a slash at either end; {@code bytes} is a file's length.
   * {@code hasChildren} counts all children of a directory, {@code hasIncludedChildren} those
   * that the exclusions leave.
   */
  record Entry(
      String path, Kind kind, long bytes, boolean hasChildren, boolean hasIncludedChildren) {}

  /** An open file, with its metadata where opening it tells. */
  record Content(InputStream stream, Metadata metadata) implements Closeable {
    @Override
    public void close() throws IOException {
      stream.close();
    }
  }

  /** All paths below the root, in order, without what is excluded. */
  NavigableMap<String, Entry> list() throws IOException;

  Content open(Entry file) throws IOException;

  /** The metadata of a directory, or of its marker. */
  Metadata directoryMetadata(Entry directory) throws IOException;
}
