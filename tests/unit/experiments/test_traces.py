"""Traces as they are published and as programs save them: units, volumes, times; and everything that is refused."""

import bz2
import gzip
import io
import lzma
import tarfile

import pytest

from vmio.__main__ import main
from vmio.experiments import trace

OWN = "time_us,op,lba,sectors\n"
BLKPARSE = """\
  8,16   1        1     0.000000000  5529  Q  WS 274432 + 8 [dd]
  8,16   1        3     0.000009000  5529  D  WS 274432 + 8 [dd]
  8,16   1        4     0.000900000     0  C  WS 274432 + 8 [0]
  8,16   1        5     0.001000000  5529  D  RA 16 + 256 [my prog]
  8,16   1        6     0.001000500  5529  D  RM 8 + 8 (    1234) [jbd2/sda-8]
  8,16   1        7     0.002000000   100  D FWS 80 + 8 [x]
  8,16   1        8     0.003000000   100  D  FF [x]
  8,16   1        9     0.003100000   100  D  DS 4096 + 2097152 [fstrim]
  8,16   1       10     0.003200000   100  D FWS 0 + 0 [x]
  8,16   1       11     0.003300000   100  D WFSM 88 + 8 [x]
  8,16   3       29     0.004179440    53  D   N 0 (00 ..) [ksoftirqd/3]
  8,16   3       30     0.005179440    53  D   R 36 (12 00 00 00 24 00 ..) [udev]
  8,16   0        0     0.005500000     0  m   N cfq5529S / alloced
CPU1 (8,16):
 Reads Queued:           0,        0KiB\t Writes Queued:           1,        4KiB

Total (8,16):
Throughput (R/W): 0KiB/s / 0KiB/s
Events (8,16): 49 entries
Skips: 0 forward (0 -   0.0%)
"""
FIO2 = """\
fio version 2 iolog
/dev/sdb add
/dev/sdb open
/dev/sdb read 0 4096
/dev/sdb wait 100 0
/dev/sdb write 4096 4096
/dev/sdb wait 50
/dev/sdb sync 0 0
/dev/sdb datasync 0 0
/dev/sdb close
"""
FIO3 = """\
fio version 3 iolog
7 /dev/nvme0n1 add
8 /dev/nvme0n1 open
100 /dev/nvme0n1 read 1024 4096
200 /dev/nvme0n1 trim 8192 4096
300 /dev/nvme0n1 close
"""
MSR = "128166372003061629,web,0,Read,7014609920,24576,41286\n128166372016382155,web,0,Write,1317441536,8192,1963\n"
ALIBABA = "419,W,8792731648,16384,1577808144360767\n725,R,59110326272,360448,1577808144360813\n"
TENCENT = "1538323200,12910952,128,0,1063\n1538323200,6338688,8,1,1627\n"
SYSTOR = """\
Timestamp,Response,IOType,LUN,Offset,Size
1456095601.009870000,0.000318000,W,0,117338112,4096
1456095601.010870000,,,0,117338112,4096
1456095601.009970000,0.000318000,R,0,512,512
"""
SPC = "0,303567,3584,w,0.000000\n1,55590,3072,w,0.000000\n0, 303574 ,512,R,0.026214,extra\n"
BIOSNOOP = """\
TIME(s)     COMM           PID    DISK    T SECTOR     BYTES  LAT(ms)
0.000000    supervise      1950   vda     W 13092560   4096      0.74
0.004000    Web Content    1951   vda     R 8          512       4.50
0.005000    ?              0              R 0          512       1.00
0.006000    jbd2/vda1-8    212    vda     R 0          0         0.50
0.007000    fstrim         77     vda     DS 1024      1048576   0.50
"""


def load(tmp_path, content, volume=None, name="t"):
    """[(op, lba, sectors, ns)] of a file with `content`, and the trace itself."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = trace.load(path, volume)
    return [(*request, ns) for request, ns in zip(found, found.times_ns, strict=True)], found


@pytest.mark.parametrize("content,volume,form,requests", [
    (MSR, None, "MSR Cambridge", [("R", 13700410, 48, 0), ("W", 2573128, 16, 1_332_052_600)]),
    (ALIBABA, "419", "Alibaba", [("W", 17173304, 32, 0)]),
    (ALIBABA, "725", "Alibaba", [("R", 59110326272 // 512, 704, 0)]),
    (TENCENT, "1063", "Tencent CBS", [("R", 12910952, 128, 0)]),
    (TENCENT, "1627", "Tencent CBS", [("W", 6338688, 8, 0)]),
    (SYSTOR, None, "SYSTOR '17", [("W", 229176, 8, 0), ("R", 1, 1, 100_000)]),
    (SPC, "0", "SPC", [("W", 303567, 7, 0), ("R", 303574, 1, 26_214_000)]),
    (SPC, "1", "SPC", [("W", 55590, 6, 0)]),
    (FIO2, None, "fio iolog version 2",
     [("R", 0, 8, 0), ("W", 8, 8, 100_000), ("F", 0, 0, 150_000), ("F", 0, 0, 150_000)]),
    (FIO3, None, "fio iolog version 3", [("R", 2, 8, 0), ("D", 16, 8, 100_000)]),
    (BIOSNOOP, None, "biosnoop", [("W", 13092560, 8, 0), ("R", 8, 1, 240_000), ("F", 0, 0, 6_240_000),
                                  ("D", 1024, 2048, 7_240_000)]),
    (BLKPARSE, None, "blkparse",
     [("W", 274432, 8, 0), ("R", 16, 256, 991_000), ("R", 8, 8, 991_500), ("F", 0, 0, 1_991_000), ("W", 80, 8, 1_991_000),
      ("F", 0, 0, 2_991_000), ("D", 4096, 2097152, 3_091_000), ("F", 0, 0, 3_191_000), ("W", 88, 8, 3_291_000)]),
])
def test_each_published_form_is_recognised_and_its_units_are_right(tmp_path, content, volume, form, requests):
    found, read = load(tmp_path, content, volume)
    assert found == sorted(requests, key=lambda one: one[3]) and read.form == form
    assert load(tmp_path, gzip.compress(content.encode()), volume)[0] == found
    assert load(tmp_path, content.replace("\n", "\r\n"), volume)[0] == found


def test_times_out_of_order_are_sorted_and_those_of_one_time_stay_in_order(tmp_path):
    lines = [f"{1000 + t},h,1,Read,{512 * n},512,1" for n, t in enumerate((5, 3, 5, 0, 3))]
    found, read = load(tmp_path, "\n".join(lines))
    assert found == [("R", 3, 1, 0), ("R", 1, 1, 300), ("R", 4, 1, 300), ("R", 0, 1, 500), ("R", 2, 1, 500)]
    assert list(read.lines) == [4, 2, 5, 1, 3] and read.volume == "h_1"


OURS = [("R", 0, 8, 0), ("D", 8, 2097152, 5000), ("F", 0, 0, 7000)]


@pytest.mark.parametrize("content", [
    "time_us,op,lba,sectors\n3,R,0,8\n8,D,8,2097152\n10,F,0,0\n",
    "time_us;op;lba;sectors\n3;R;0;8\n8;D;8;2097152\n10;F;0;0\n",
    "time_us\top\tlba\tsectors\n3\tR\t0\t8\n8\tD\t8\t2097152\n10\tF\t0\t0\n",
    '"time_us","op","lba","sectors"\n"3","R","0","8"\n8,"D",8,2097152\n10,F,0,0\n',
    "\n\ntime_us,op,lba,sectors\n\n3, R, 0, 8\n   \n8,D,8,2097152\n10,F,0,0\n\n\n",
    "time_us,op,lba,sectors\r3,R,0,8\r8,D,8,2097152\r10,F,0,0",
])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_our_own_form_is_read_as_programs_save_it(tmp_path, content, encoding):
    assert load(tmp_path, content.encode(encoding))[0] == OURS
    assert load(tmp_path, gzip.compress(content.replace("\n", "\r\n").encode(encoding)))[0] == OURS


def test_our_own_form_keeps_the_order_of_its_lines(tmp_path):
    assert load(tmp_path, OWN + "9,R,0,1\n4,R,1,1\n")[0] == [("R", 0, 1, 5000), ("R", 1, 1, 0)]


REFUSED = [
    (OWN + "1e5,R,0,1\n", "line 2: time_us 1e5: only whole numbers"),
    (OWN + "0,R,٣,1\n", "line 2: lba ٣: only whole numbers"),
    (OWN + "0,R,²,1\n", "line 2: lba ²: only whole numbers"),
    (OWN + "0,R,1_0,1\n", "line 2: lba 1_0: only whole numbers"),
    (OWN + "0,R,+1,1\n", "line 2: lba +1: only whole numbers"),
    (OWN + "0,R,-1,1\n", "line 2: lba -1: only whole numbers"),
    (OWN + "0,R,1.0,1\n", "line 2: lba 1.0: only whole numbers"),
    (OWN + "0,R,18446744073709551616,1\n", "line 2: lba 18446744073709551616: only whole numbers, 0 to 2^64 - 1"),
    (OWN + f"0,R,{'9' * 5000},1\n", "line 2: lba 9999"),
    (OWN + "0,R,18446744073709551615,1\n", "line 2: lba 18446744073709551615, sectors 1: a disk ends"),
    (OWN + "0,D,0,4294967296\n", "1 to 4294967295 sectors"),
    (OWN + "0,D,0,0\n", "sectors 0"),
    (OWN + "18446744073709551615,R,0,1\n0,R,0,1\n", "line 3: a time more than a century"),
    (OWN + '0,R,"0,1\n', "line 2: 0,R,\"0,1: quotation marks"),
    (OWN + "0,R,0,1\n" + "x" * 200_000, "line 3: longer than 65536 characters"),
    (OWN + "0,R,0,1\n0,R,\0,1\n", "line 3: it holds NUL bytes"),
    (OWN + "\n0,q,0,1\n", "line 3: operation 'q'"),
    ("\n\n", "line 1: (empty file)"),
    ("\x7fELF\x02\x01\x01", "line 1: header '\\x7fELF"),
    (b"\xff\xfe\xfd\x80garbage\xff\xff", "line 1:"),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), "line 1:"),
    (bytes(4096), "line 1: it holds NUL bytes"),
    ("time_us,op,lba,sectors\n0,R,0,1\n".encode("utf-32"), "line 1: it holds NUL bytes"),
    (gzip.compress(OWN.encode())[:-6], "damaged gzip file"),
    (b"\x1f\x8bnot gzip", "damaged gzip file"),
    (gzip.compress(OWN.encode())[:12] + b"\xff" * 40, "damaged gzip file"),
    (bz2.compress(OWN.encode()), "bzip2 -dc"),
    (lzma.compress(OWN.encode()), "xz -dc"),
    (b"\x28\xb5\x2f\xfd\0", "zstd -dc"),
    (MSR + "128166372016382155,web,0,Write,1317441536,8192\n", "line 3: 6 columns; expected 7"),
    (MSR + "128166372016382155,web,0,Trim,1317441536,8192,1\n", "line 3: operation trim: read or write"),
    (MSR + "128166372016382155,web,0,Read,1317441537,8192,1\n", "line 3: Offset 1317441537 bytes: not a whole number of 512-byte"),
    (MSR + "128166372016382155,web,0,Read,1317441536,0,1\n", "line 3: lba 2573128, sectors 0"),
    ("419,W,100,16384,1577808144360767\n", "line 1: offset 100 bytes: not a whole number"),
    ("1e9,12910952,128,0,1063\n", "line 1: header '1e9"),
    (TENCENT + "1538323200.,12910952,128,0,1063\n", "line 3: Timestamp 1538323200."),
    (TENCENT + "1538323200,12910952,128,2,1063\n", "line 3: operation 2: 0 or 1"),
    ("0,303567,3585,w,0.000000\n", "line 1: Size 3585 bytes: not a whole number"),
    ("0,303567,3584,w,-0.5\n", "line 1: Timestamp -0.5"),
    ("fio version 3 iolog\n100 /dev/nvme0n1 read 1000 4096\n", "line 2: offset 1000 bytes: not a whole number of 512-byte"),
    ("fio version 3 iolog\n1 /dev/x wait 5\n", "line 2: 1 /dev/x wait 5: filename and"),
    ("fio version 3 iolog\n1\n", "line 2"),
    ("fio version 2 iolog\n/dev/x verify 0 512\n", "line 2: /dev/x verify 0 512: filename and"),
    ("fio version 9 iolog\n", "line 1: fio iolog version 9: 2 or 3"),
    ("fio version 2 iolog\n/dev/x open\n", "fio iolog version 2, but no line is a request"),
    ("  8,16   1        3     0.000009000  5529  D  ZA 274432 + 8 [dd]\n", "line 1: RWBS ZA"),
    ("  8,16   1        3     0.000009000  5529  D  WS 274432 + x [dd]\n", "line 1: 274432 + x [dd]"),
    ("  8,16   1        3     0.000009000  5529  Q  WS 274432 + 8 [dd]\n", "blkparse, but no line is a request"),
    ("  8,16   1        3     0.000009000  5529  Q  WS 274432 + 8 [dd]\nhello: there\n", "line 2: hello: there: neither"),
    (BIOSNOOP + "1.0 a 1 vda R 8 100 0.5\n", "line 7: BYTES 100 bytes: not a whole number"),
    (BIOSNOOP + "1.0 a 1 vda R 8\n", "line 7: 6 columns; expected 8"),
    (BIOSNOOP + "1.0 a 1 vda X 8 512 0.5\n", "line 7: RWBS X"),
    (ALIBABA, "Alibaba, 2 volumes, choose one: 419 (1 requests), 725 (1 requests)"),
    (SPC, "SPC, 2 volumes, choose one: 0 (2 requests), 1 (1 requests)"),
]


@pytest.mark.parametrize("content,complaint", REFUSED, ids=range(len(REFUSED)))
def test_anything_else_is_refused_in_one_sentence(tmp_path, capsys, content, complaint):
    path = tmp_path / "bad"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["run", "--trace", str(path), "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"vmio run: trace {path}") and err.count("\n") == 1 and len(err) < 1500
    assert complaint in err


def test_a_folder_a_missing_file_and_a_tar_archive_are_refused(tmp_path, capsys):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("2018100101"), io.BytesIO())
    (tmp_path / "t.tgz").write_bytes(archive.getvalue())
    for name, complaint in ((".", "cannot be read"), ("none", "cannot be read"), ("t.tgz", "tar archive")):
        assert main(["run", "--trace", str(tmp_path / name)]) == 2
        assert complaint in capsys.readouterr().err


def test_a_volume_that_is_not_there_is_answered_with_those_that_are(tmp_path, capsys):
    path = tmp_path / "a"
    path.write_text("".join(f"{n},R,0,512,{n}\n" for n in range(25)))
    assert main(["run", "--trace", str(path), "--volume", "77"]) == 2
    err = capsys.readouterr().err
    assert "no volume 77; there are: 0 (1 requests), 1 (1 requests)" in err and err.rstrip().endswith("and 5 more")
    path.write_text(OWN + "0,R,0,1\n")
    assert main(["run", "--trace", str(path), "--volume", "77"]) == 2
    assert "has no volumes" in capsys.readouterr().err


def test_a_trace_runs_with_its_volume(tmp_path, capsys):
    path = tmp_path / "a"
    path.write_text("5,W,0,4096,10\n6,R,0,512,11\n5,R,0,4096,12\n")
    assert main(["run", "--dma", "--trace", str(path), "--volume", "5"]) == 0
    assert "2 requests, 8,192 bytes" in capsys.readouterr().out


def test_the_line_of_a_request_past_the_disk_is_that_of_the_file(tmp_path, capsys):
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    (tmp_path / "t").write_text("9,h,0,Read,0,512,1\n8,g,0,Read,0,512,1\n1,h,0,Read,1048576,512,1\n")
    assert main(["run", "--trace", str(tmp_path / "t"), "--volume", "h_0", "--image", str(tmp_path / "disk")]) == 2
    assert "line 3: LBA 2048 + 1 sectors; the disk ends at 2048" in capsys.readouterr().err


def test_a_long_trace_needs_memory_for_the_requests_of_its_volume_alone(tmp_path):
    import tracemalloc
    path = tmp_path / "long"
    path.write_text("0,R,0,512,0\n" + "".join(f"1,R,{512 * n},512,{n}\n" for n in range(30_000)))
    tracemalloc.start()
    trace.load(path, "0")
    assert tracemalloc.get_traced_memory()[1] < 300_000
    tracemalloc.stop()
