//! Stack traces as the languages print them.

/// A Python traceback through these frames (`file`, `function`, `code`), outermost first.
pub(super) fn python(
    frames: &[(&str, &str, &str)],
    exception_type: &str,
    message: &str,
    line: u64,
) -> String {
    let mut text = String::from("Traceback (most recent call last):\n");
    for (depth, (file, function, code)) in (0_u64..).zip(frames) {
        let line = line + 37 * depth;
        text.push_str(&format!(
            "  File \"/app/{file}\", line {line}, in {function}\n    {code}\n"
        ));
    }
    text.push_str(&format!("{exception_type}: {message}\n"));
    text
}

/// A Java stack trace of a query that came back with an error.
pub(super) fn java(exception_type: &str, message: &str, class: &str, line: u64) -> String {
    format!(
        "{exception_type}: {message}\n\
         \tat com.shop.{class}Repository.load({class}Repository.java:{line})\n\
         \tat com.shop.{class}Service.handle({class}Service.java:{})\n\
         \tat com.shop.{class}Controller.dispatch({class}Controller.java:{})\n\
         \tat java.base/java.util.concurrent.ThreadPoolExecutor.runWorker(ThreadPoolExecutor.java:1144)\n\
         \tat java.base/java.lang.Thread.run(Thread.java:1583)\n",
        line + 41,
        line + 12,
    )
}

/// A stack of a Go program.
pub(super) fn go(function: &str, file: &str, line: u64) -> String {
    format!(
        "goroutine {} [running]:\nmain.{function}(0xc000{line:06x})\n\t/src/{file}.go:{line} +0x1d\n\
         net/http.HandlerFunc.ServeHTTP(...)\n\t/usr/local/go/src/net/http/server.go:2220\n",
        17 + line % 200,
    )
}
