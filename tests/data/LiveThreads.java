import java.io.InputStream;

/** Starts virtual threads, one after another, until its standard input ends; one of them is pinned. */
public class LiveThreads {
  public static void main(String[] arguments) throws Exception {
    InputStream input = System.in;
    Thread.ofVirtual().start(LiveThreads::pin).join();
    for (int number = 0; input.available() == 0; number++) {
      Thread.ofVirtual().name("live-" + number).start(LiveThreads::pause).join();
      if (number % 20 == 0) {
        System.gc();
      }
    }
  }

  static void pause() {
    try {
      Thread.sleep(10);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  /** In a class's initializer a thread is pinned with every JDK; with a monitor, up to 23. */
  static void pin() {
    if (Slow.NUMBER != 1) {
      throw new IllegalStateException();
    }
  }

  static class Slow {
    static final int NUMBER = sleep();

    static int sleep() {
      pause();
      return Integer.parseInt("1");
    }
  }
}
