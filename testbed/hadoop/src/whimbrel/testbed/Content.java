package whimbrel.testbed;

import java.util.Random;
import java.util.SplittableRandom;

/** File contents and sizes that a seed decides. */
public final class Content {
  private Content() {}

  public static byte[] bytes(long seed, int length) {
    byte[] bytes = new byte[length];
    SplittableRandom random = new SplittableRandom(seed);
    int index = 0;
    while (index + 8 <= length) {
      long word = random.nextLong();
      for (int shift = 0; shift < 64; shift += 8) {
        bytes[index++] = (byte) (word >>> shift);
      }
    }
    for (; index < length; index++) {
      bytes[index] = (byte) random.nextInt();
    }
    return bytes;
  }

  /** Log-normal, cut at the maximum. */
  public static int logNormalBytes(
      Random random, double medianBytes, double sigma, int maximumBytes) {
    double bytes = medianBytes * Math.exp(sigma * random.nextGaussian());
    return (int) Math.min(bytes, maximumBytes);
  }
}
