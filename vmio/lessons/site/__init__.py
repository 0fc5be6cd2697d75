"""The course as a folder of static files: JupyterLab in the browser, Python as WebAssembly, no server that computes.

`python3 lab.py site DIR` calls `python -m vmio.lessons.site.build` in an environment of its own.

    builder.txt     what builds the site                           both are pinned, each package with its hash
    wheels.txt      what a page loads: pure Python
    runtime.json    which Python as WebAssembly that is, the hashes of its files, and what it can load besides (numpy, matplotlib)
    wheel.py        vmio itself as a wheel, the same bytes each time
    lock.py         the list of all packages that the page's Python knows, with names, hashes and what needs what
    build.py        the folder
    static/         what is ours in it: the first page, what each page checks, a server for a stick
"""
