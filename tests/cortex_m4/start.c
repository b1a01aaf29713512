/* Starts a Cortex-M4 in QEMU's mps2-an386, calls main, and ends QEMU with its result. */
#pragma GCC optimize ("no-tree-loop-distribute-patterns") /* there is no memcpy */
#include <stdint.h>

extern uint32_t stack_top, data_start, data_end, data_values, bss_start, bss_end;
int main(void);

static void leave(uint32_t status)
{
    uint32_t block[2] = {0x20026, status}; /* semihosting: SYS_EXIT_EXTENDED, ADP_Stopped_ApplicationExit */
    register uint32_t r0 __asm__("r0") = 0x20;
    register uint32_t *r1 __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : : "r"(r0), "r"(r1) : "memory");
    for (;;) {
    }
}

void start(void)
{
    uint32_t *from = &data_values, *to;
    for (to = &data_start; to < &data_end; to++) {
        *to = *from++;
    }
    for (to = &bss_start; to < &bss_end; to++) {
        *to = 0;
    }
    *(volatile uint32_t *)0xE000ED88 |= 0xF << 20; /* the floating-point unit */
    __asm__ volatile("dsb\n isb");
    leave((uint32_t)main());
}

static void fault(void)
{
    leave(99);
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &stack_top, (void *)start, (void *)fault, (void *)fault, (void *)fault, (void *)fault, (void *)fault,
};
