# shellcheck shell=bash
# The virtual machine and a few of its libraries, each brought to the fault by a class of some lines.
install openjdk-17-jdk-headless libhikaricp-java libslf4j-java liblog4j2-java || return

cat >"$work/Full.java" <<'JAVA'
import java.io.*;
import java.lang.reflect.Proxy;
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import javax.net.ssl.*;

public class Full {
    static int depth(int n) { return n == 0 ? 0 : depth(n + 1) + 1; }

    static class Again extends ClassLoader {
        Class<?> load(byte[] code) { return defineClass(null, code, 0, code.length); }
    }

    public static void main(String[] a) throws Exception {
        switch (a[0]) {
            case "heap": { List<byte[]> kept = new ArrayList<>(); while (true) kept.add(new byte[100_000]); }
            case "array": { int[] big = new int[Integer.MAX_VALUE]; break; }
            case "metaspace": {
                byte[] code = Files.readAllBytes(Path.of(a[1]));
                List<Class<?>> kept = new ArrayList<>();
                while (true) kept.add(new Again().load(code));
            }
            case "direct": { List<ByteBuffer> kept = new ArrayList<>(); while (true) kept.add(ByteBuffer.allocateDirect(1 << 20)); }
            case "threads":
                for (int i = 0; i < 5000; i++) {
                    new Thread(() -> { try { Thread.sleep(60_000); } catch (InterruptedException e) { } }).start();
                }
                break;
            case "stack": depth(1); break;
            case "churn": {
                // Nearly full of small things that all stay: every collection is a full one and frees nothing.
                Map<Integer, String> kept = new HashMap<>();
                for (int i = 0; ; i++) kept.put(i, "value " + i);
            }
            case "sleep": Thread.sleep(60_000); break;
            case "deadlock": {
                Object one = new Object(), two = new Object();
                CountDownLatch both = new CountDownLatch(2);
                for (Object[] pair : new Object[][] {{one, two}, {two, one}}) {
                    new Thread(() -> {
                        synchronized (pair[0]) {
                            both.countDown();
                            try { both.await(); } catch (InterruptedException e) { return; }
                            synchronized (pair[1]) { System.out.println("never"); }
                        }
                    }).start();
                }
                break;
            }
            case "rejected": {
                var pool = new ThreadPoolExecutor(1, 1, 1, TimeUnit.SECONDS, new ArrayBlockingQueue<>(1));
                try {
                    for (int i = 0; i < 9; i++) pool.submit(() -> { Thread.sleep(1_000); return 1; });
                } finally { pool.shutdown(); }
                break;
            }
            case "plain": {
                ServerSocket server = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
                Thread answer = new Thread(() -> {
                    try (Socket s = server.accept()) {
                        s.getInputStream().read();
                        s.getOutputStream().write("HTTP/1.1 400 Bad Request\r\n\r\n".getBytes());
                        Thread.sleep(500);
                    } catch (Exception e) { e.printStackTrace(); }
                });
                answer.setDaemon(true);
                answer.start();
                new URL("https://127.0.0.1:" + server.getLocalPort() + "/").openStream();
                break;
            }
            case "oldtls": {
                ServerSocket server = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
                SSLSocket s = (SSLSocket) SSLSocketFactory.getDefault()
                        .createSocket(InetAddress.getLoopbackAddress(), server.getLocalPort());
                s.setEnabledProtocols(new String[] {"TLSv1"});
                s.startHandshake();
                break;
            }
            case "https": new URL("https://127.0.0.1:" + a[1] + "/").openStream(); break;
            case "keystore": {
                java.security.KeyStore.getInstance(new File(a[1]), a[2].toCharArray());
                break;
            }
            case "old": System.out.println(Lib.answer()); break;
            case "hikari": {
                var config = new com.zaxxer.hikari.HikariConfig();
                config.setDataSource((javax.sql.DataSource) Proxy.newProxyInstance(Full.class.getClassLoader(),
                    new Class<?>[] {javax.sql.DataSource.class}, (p, m, x) -> {
                        if (m.getName().equals("getConnection")) {
                            if (a[1].equals("away")) throw new java.sql.SQLException("connection refused by the test");
                            return connection();
                        }
                        return plain(m);
                    }));
                config.setMaximumPoolSize(1);
                config.setConnectionTimeout(1000);
                if (a[1].equals("leak")) config.setLeakDetectionThreshold(2000);
                var pool = new com.zaxxer.hikari.HikariDataSource(config);
                pool.getConnection();
                if (a[1].equals("leak")) Thread.sleep(3500);
                pool.getConnection();
                break;
            }
            case "slf4j": org.slf4j.LoggerFactory.getLogger("app").info("hello"); break;
            case "log4j": org.apache.logging.log4j.LogManager.getLogger("app").info("hello"); break;
            default: throw new IllegalArgumentException(a[0]);
        }
    }

    static Object plain(java.lang.reflect.Method m) {
        Class<?> t = m.getReturnType();
        if (t == boolean.class) return m.getName().equals("isValid");
        if (t == int.class) return 0;
        return null;
    }

    static Object connection() {
        return Proxy.newProxyInstance(Full.class.getClassLoader(), new Class<?>[] {java.sql.Connection.class},
            (p, m, x) -> plain(m));
    }
}
JAVA
echo 'class Lib { static int answer() { return 1; } }' >"$work/Lib.java"
jars=$(printf '%s:' /usr/share/java/HikariCP.jar /usr/share/java/slf4j-api.jar /usr/share/java/log4j-api.jar)
logger=/usr/share/java/slf4j-simple.jar
javac -d "$work/classes" -cp "$jars" "$work/Full.java" "$work/Lib.java" || return
cd "$work" || return
run() { java -Xshare:auto -XX:TieredStopAtLevel=1 -cp "classes:$jars" "$@"; }
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }

provoke java-heap-full run -Xmx16m Full heap
provoke java-heap-full run -Xmx16m -XX:+ExitOnOutOfMemoryError Full heap
provoke java-heap-full run -Xmx16m -XX:+UseParallelGC Full churn
provoke java-array-too-large run -Xmx64m Full array
provoke java-metaspace-full run -XX:MaxMetaspaceSize=16m Full metaspace classes/Lib.class
provoke java-direct-memory-full run -XX:MaxDirectMemorySize=4m Full direct
few_threads() { as_nobody bash -c "ulimit -u 60; java -Xss256k -cp classes Full threads & sleep 8; kill -9 \$!"; }
provoke java-threads-refused few_threads
provoke java-stack-overflow run Full stack
provoke java-full-collections run -Xmx24m -XX:+UseSerialGC -Xlog:gc Full churn
provoke java-heap-dumped run -Xmx16m -XX:+HeapDumpOnOutOfMemoryError -XX:HeapDumpPath="$work/dump.hprof" Full heap
provoke java-heap-dumped run -Xmx16m -XX:+HeapDumpOnOutOfMemoryError -XX:HeapDumpPath="$work/dump.hprof" Full heap

deadlock() { java -cp classes Full deadlock & local pid=$!; sleep 3; kill -QUIT $pid; sleep 1; kill -9 $pid; }
provoke java-deadlock deadlock
segfault() { java -cp classes -XX:ErrorFile="$work/hs_err.log" Full sleep & local pid=$!; sleep 2; kill -SEGV $pid; wait $pid; }
provoke java-crashed segfault
no_address_space() { (ulimit -v "$1"; shift; run "$@"); }
provoke java-heap-not-reserved no_address_space 2000000 -Xmx8g Full sleep
provoke java-heap-not-reserved run -Xms900000g -Xmx900000g Full sleep
provoke java-native-memory-refused run -Xms64g -Xmx64g -XX:+AlwaysPreTouch -XX:-UseCompressedOops -XX:MaxRAM=1 Full sleep
provoke java-native-memory-refused no_address_space 4000000 -Xms2g -Xmx2g -Xss900m Full threads

provoke java-options-refused run -XX:+UseMagicGC Full sleep
provoke java-options-refused run -Xmx12q Full sleep
provoke java-options-refused run -Xms64m -Xmx32m Full sleep
provoke java-options-refused run --no-such-option Full sleep
provoke java-options-refused run -XX:+UseSerialGC -XX:+UseParallelGC Full sleep

# The same class said to be made for Java 21 (class file version 65).
newer() { mkdir -p newer; cp classes/Full.class newer/; printf '\0\101' | dd of=newer/Full.class bs=1 seek=6 conv=notrunc status=none; java -cp newer Full sleep; }
provoke java-class-version newer
without_lib() { mkdir -p alone; cp classes/Full*.class alone/; java -cp alone Full old; }
provoke java-class-missing without_lib
provoke java-class-missing java -cp classes NoSuchMain
provoke java-class-missing java -jar "$work/app.jar"
other_lib() { mkdir -p other; echo 'class Lib { static int reply() { return 1; } }' >other/Lib.java; cp classes/Full*.class other/; javac -d other other/Lib.java; java -cp other Full old; }
provoke java-libraries-clash other_lib

provoke java-executor-full run Full rejected
provoke java-tls-plain-peer run Full plain
provoke java-tls-no-common-version run Full oldtls
keytool -genkeypair -alias a -keyalg RSA -dname CN=localhost -keystore good.p12 -storepass changeit >/dev/null 2>&1
provoke java-keystore-unreadable run Full keystore good.p12 wrongpass
empty_trust() {
  keytool -importkeystore -srckeystore good.p12 -srcstorepass changeit -destkeystore trust.p12 -deststorepass changeit
  keytool -delete -alias a -keystore trust.p12 -storepass changeit
  local port
  port=$(free_port)
  openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=localhost -days 1
  openssl s_server -accept "$port" -key key.pem -cert cert.pem -www -quiet &
  sleep 1
  run -Djavax.net.ssl.trustStore=trust.p12 -Djavax.net.ssl.trustStorePassword=changeit Full https "$port"
  kill %1
} 2>&1
provoke java-keystore-unreadable empty_trust
provoke java-pool-exhausted run -cp "classes:$jars:$logger" Full hikari full
provoke java-pool-leak run -cp "classes:$jars:$logger" Full hikari leak
provoke java-pool-start-failed run -cp "classes:$jars:$logger" Full hikari away
provoke java-logging-unconfigured run Full slf4j
provoke java-logging-unconfigured run Full log4j
provoke java-exception run Full nothing-of-that-name
