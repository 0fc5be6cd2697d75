/* The run loop of vmio/kvm/vcpu.py in C, for kvm.py: one guest blob, timed.
 *
 *     kvm_loop DEVICE BLOB RUNS      guest memory of 2 MiB with tables and program, as `Guest` laid it out
 *
 * The registers come from Python's guest (two files beside BLOB: .regs and .sregs), so both run the same state.
 * Prints, for each run, its exits and nanoseconds.  An OUT to port F4h ends a run. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static void must(int ok, const char *what) { if (!ok) { perror(what); exit(1); } }

static void load(const char *base, const char *suffix, void *to, size_t size)
{
    char name[4096];
    snprintf(name, sizeof name, "%s%s", base, suffix);
    FILE *file = fopen(name, "rb");
    must(file && fread(to, 1, size, file) == size, name);
    fclose(file);
}

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
    must(argc == 4, "arguments");
    size_t size = 2 << 20;
    int kvm = open(argv[1], O_RDWR | O_CLOEXEC), vm = ioctl(kvm, KVM_CREATE_VM, 0);
    must(vm >= 0 && !ioctl(vm, KVM_SET_TSS_ADDR, 0x7FF00000), "KVM_CREATE_VM");
    void *ram = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    load(argv[2], "", ram, size);
    struct kvm_userspace_memory_region slot = {.memory_size = size, .userspace_addr = (unsigned long)ram};
    must(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot), "KVM_SET_USER_MEMORY_REGION");
    int cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    struct kvm_run *run = mmap(0, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
    must(run != MAP_FAILED, "mmap of the vCPU");
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    load(argv[2], ".regs", &regs, sizeof regs);
    load(argv[2], ".sregs", &sregs, sizeof sregs);
    for (int left = atoi(argv[3]); left; left--) {
        must(!ioctl(cpu, KVM_SET_SREGS, &sregs) && !ioctl(cpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
        long exits = 0;
        long long start = now();
        for (;;) {
            must(!ioctl(cpu, KVM_RUN, 0), "KVM_RUN");
            exits++;
            if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT && run->io.port == 0xF4)
                break;
            if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_IN)
                memset((char *)run + run->io.data_offset, 0xFF, run->io.size * run->io.count);
            else if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write)
                memset(run->mmio.data, 0xFF, run->mmio.len);
            else
                must(run->exit_reason == KVM_EXIT_IO || run->exit_reason == KVM_EXIT_MMIO, "exit reason");
        }
        printf("%ld %lld\n", exits, now() - start);
    }
    return 0;
}
